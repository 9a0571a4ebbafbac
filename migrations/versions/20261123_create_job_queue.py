"""Create the job queue's own schema (procrastinate)."""

from collections.abc import Sequence

from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy import text

revision: str = "0002_job_queue"
down_revision: str | None = "0001_schema"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # A driver-level cursor without parameters: the file holds many statements and % signs.
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(SchemaManager.get_schema())


def downgrade() -> None:
    objects = op.get_bind().execute(
        text(
            """
            SELECT format('DROP TABLE IF EXISTS %I CASCADE', relname) FROM pg_class
            WHERE relkind = 'r' AND starts_with(relname, 'procrastinate')
              AND relnamespace = current_schema()::regnamespace
            UNION ALL
            SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure) FROM pg_proc
            WHERE starts_with(proname, 'procrastinate')
              AND pronamespace = current_schema()::regnamespace
            UNION ALL
            SELECT format('DROP TYPE IF EXISTS %I CASCADE', typname) FROM pg_type
            WHERE starts_with(typname, 'procrastinate')
              AND typnamespace = current_schema()::regnamespace
              AND (typtype = 'e' OR (typtype = 'c' AND typrelid IN
                   (SELECT oid FROM pg_class WHERE relkind = 'c')))
            """
        )
    )
    for statement in sorted(
        (row[0] for row in objects), key=lambda sql: sql.startswith("DROP TYPE")
    ):
        op.execute(text(statement))
