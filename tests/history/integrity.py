"""Is the database sound after all that: indexes against tables, and every page's checksum."""

import subprocess

import psycopg
from psycopg import sql

from app.postgres import Cluster
from app.postgres.cluster import SUPERUSER
from app.postgres.machine import binaries

_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 2"
_INDEXES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relnamespace = 'public'::regnamespace AND i.indisvalid
"""


def check_indexes(cluster: Cluster) -> str:
    """Raises where an index and its table disagree; says how that was looked for."""
    with psycopg.connect(cluster.conninfo(user=SUPERUSER), autocommit=True) as connection:
        known = connection.execute(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'"
        ).fetchone()
        if known and known[0]:
            connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
            indexes = connection.execute(_INDEXES).fetchall()
            for (index,) in indexes:
                connection.execute("SELECT bt_index_check(%s::regclass, true)", [index])
            return f"amcheck: {len(indexes)} indexes are sound"
        tables = connection.execute(_TABLES).fetchall()
        for schema, table in tables:  # reads every row, and stops at what is there twice
            name = sql.Identifier(schema, table)
            connection.execute(sql.SQL("REINDEX TABLE {}").format(name))
        return f"no amcheck here; the indexes of {len(tables)} tables were built anew"


def check_pages(cluster: Cluster) -> str:
    """Every page of the stopped server has its checksum; raises otherwise."""
    done = subprocess.run(
        [binaries() / "pg_checksums", "--check", "--pgdata", str(cluster.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    blocks = next(line for line in done.stdout.splitlines() if line.startswith("Blocks scanned"))
    return f"checksums: {blocks.split()[-1]} pages are sound"
