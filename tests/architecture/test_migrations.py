"""Alembic owns the schema: one head, up and down and up again, and no drift from the models."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from app.models import metadata
from app.projects.rules import language_of
from app.schema import alembic_config, is_at_head, migrate
from app.tasks.rules import lane
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


OLD_DATA = """
INSERT INTO project (id, name, description, criteria, strength_levels, allow_ties, overlap_min,
  overlap_max, gold_rate, gold_threshold, lease_minutes, guidelines_version)
VALUES (md5('project')::uuid, 'Old', '', '[]', 3, true, 1, 1, 0, 0.7, 30, 1);
INSERT INTO prompt (id, project_id, content_hash, messages, tags, language, meta)
SELECT md5(tag)::uuid, md5('project')::uuid, sha256(tag::bytea), '[]', '{}', nullif(tag, 'none'),
  '{}' FROM unnest(ARRAY['de-AT', ' DE', 'pt_BR', 'none', '']) tag;
INSERT INTO task (id, project_id, prompt_id, identity, kind, priority, wanted, leased, counted,
  meta)
SELECT id, project_id, id, content_hash, 'ordinary', 0, 1, 0, 0, '{}' FROM prompt
"""


def test_prompts_that_name_their_language_get_their_lanes(empty_engine):
    migrate(empty_engine)
    with empty_engine.connect() as connection:
        command.downgrade(alembic_config(connection), "0003_handing_out")
        command.downgrade(alembic_config(connection), "-1")
        for statement in OLD_DATA.split(";\n"):
            connection.execute(text(statement))
        connection.commit()
    migrate(empty_engine)
    with empty_engine.connect() as connection:
        rows = connection.execute(
            text("SELECT language, lane FROM task JOIN prompt ON prompt.id = prompt_id")
        )
        lanes = dict(map(tuple, rows))
        rows = connection.execute(text("SELECT key, language, expertise FROM task_lane"))
        kept = {row.key: (row.language, row.expertise) for row in rows}
    assert lanes == {
        language: lane(language=language_of(language), expertise=[]) for language in lanes
    }
    assert len(lanes) == 5
    assert kept == {'["de"]': ("de", []), '["pt"]': ("pt", [])}
