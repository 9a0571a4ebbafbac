"""Alembic owns the schema: one head, up and down and up again, and no drift from the models."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from app.models import metadata
from app.schema import alembic_config, is_at_head, migrate
from tests.conftest import fresh_database, psycopg_url

LEFTOVERS = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
      AND relname NOT LIKE 'alembic_version%'
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
      AND typname NOT LIKE '%alembic_version'
"""


@pytest.fixture
def empty_engine(server_url):
    with fresh_database(server_url) as name:
        engine = create_engine(psycopg_url(server_url, name))
        yield engine
        engine.dispose()


def test_up_down_up_leaves_nothing_behind(empty_engine):
    migrate(empty_engine)
    with empty_engine.connect() as connection:
        assert is_at_head(connection)
        command.downgrade(alembic_config(connection), "base")
        connection.commit()
        assert connection.execute(text(LEFTOVERS)).all() == []
    migrate(empty_engine)
    migrate(empty_engine)  # a second time changes nothing
    with empty_engine.connect() as connection:
        assert is_at_head(connection)


def test_the_models_and_the_migrations_agree(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _: (
                    not (kind == "table" and name.startswith("procrastinate_"))
                ),
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_there_is_one_head():
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1
