"""What the database did: every change of tasks, assignments and judgements, in its own order.

Triggers write the journal in the transactions that change the rows, so it says exactly what was
committed. Whoever changes how many people hold or have judged a task locks the task's row until
her transaction ends; so for each task the order of the journal is the order of the commits.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

_KEPT = {
    "project": "id overlap_max",
    "task": "id kind wanted leased counted",
    "assignment": "id task_id user_id state is_repeat leased_until",
    "annotation": "id task_id assignment_id is_current counted is_repeat",
}
_INSTALL = """
CREATE TABLE journal (
  seq bigserial PRIMARY KEY, tx bigint NOT NULL, at double precision NOT NULL,
  kind text NOT NULL, before jsonb, after jsonb
);
CREATE FUNCTION journalise() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE before jsonb; after jsonb;
BEGIN
  IF TG_OP <> 'INSERT' THEN
    SELECT jsonb_object_agg(key, value) INTO before
    FROM jsonb_each(to_jsonb(OLD)) WHERE key = ANY(string_to_array(TG_ARGV[0], ' '));
  END IF;
  IF TG_OP <> 'DELETE' THEN
    SELECT jsonb_object_agg(key, value) INTO after
    FROM jsonb_each(to_jsonb(NEW)) WHERE key = ANY(string_to_array(TG_ARGV[0], ' '));
  END IF;
  INSERT INTO journal (tx, at, kind, before, after) VALUES (
    pg_current_xact_id()::text::bigint, extract(epoch FROM clock_timestamp()), TG_TABLE_NAME,
    before, after);
  RETURN NULL;
END $$;
"""
_TRIGGER = """
CREATE TRIGGER journalise AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION journalise('{kept}');
"""
_TASKS = "SELECT id::text, kind, wanted, leased, counted FROM task WHERE project_id = :project"
_ASSIGNMENTS = """
SELECT id::text, task_id::text, user_id::text, state, is_repeat, display_order
FROM assignment WHERE project_id = :project
"""
_ANNOTATIONS = """
SELECT id::text, assignment_id::text, task_id::text, user_id::text, revision, is_current, counted,
  is_repeat, ranks, rationale, idempotency_key AS key
FROM annotation WHERE project_id = :project AND source IS NULL
"""
_JOURNAL = """
SELECT seq, tx, at, kind, before, after,
  extract(epoch FROM (before ->> 'leased_until')::timestamptz)::float8 AS due
FROM journal ORDER BY seq
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A row as it was (None: it is new) and is (None: it is gone); `due`: its lease's old end."""

    seq: int
    tx: int
    at: float
    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    due: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Rows as they are in the end, and how they came there."""

    tasks: list[dict[str, Any]]
    assignments: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    journal: list[Change]


def install(connection: Connection) -> None:
    """Keep a journal from now on."""
    connection.exec_driver_sql(_INSTALL)
    for table, kept in _KEPT.items():
        connection.exec_driver_sql(_TRIGGER.format(table=table, kept=kept))
    connection.commit()


def read_state(connection: Connection, *, project_id: UUID) -> State:
    def rows(statement: str) -> list[dict[str, Any]]:
        found = connection.execute(text(statement), {"project": project_id})
        return [dict(row) for row in found.mappings()]

    return State(
        tasks=rows(_TASKS),
        assignments=rows(_ASSIGNMENTS),
        annotations=rows(_ANNOTATIONS),
        journal=[Change(**row) for row in rows(_JOURNAL)],
    )
