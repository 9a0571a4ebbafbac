"""What must hold of tasks, assignments and judgements at every moment, as named checks.

All of them are one statement, so they see one moment of the database: somebody who claims or
submits meanwhile is no false alarm, and nobody waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.orm import Session

from app.projects.models import Project

NAMED = 20  # rows that a check names; more are only counted as “more”


@dataclass(frozen=True, slots=True)
class Check:
    """A rule in words, and a SELECT of the rows that break it: (project_id, what).

    `OURS` stands for the condition that a row `t` (of a task) or `a` is of the project.
    """

    name: str
    rule: str
    broken: str


@dataclass(frozen=True, slots=True)
class Result:
    """Whether a rule holds; `broken` says of each row that breaks it what is wrong."""

    name: str
    rule: str
    broken: Sequence[str]
    is_cut: bool  # there are more of them

    @property
    def holds(self) -> bool:
        return not self.broken


CHECKS = (
    Check(
        "places",
        "No task has more judgements and leases than it wants.",
        """
        SELECT t.project_id, format('task %s: %s judged and %s held of %s wanted',
          t.id, t.counted, t.leased, coalesce(t.wanted::text, 'no number'))
        FROM task t
        WHERE OURS AND t.kind = 'ordinary'
          AND (t.wanted IS NULL OR t.leased + t.counted > t.wanted)
        """,
    ),
    Check(
        "closed",
        "What is closed wants nobody else.",
        """
        SELECT t.project_id, format('task %s: closed, with %s judged and %s held of %s wanted',
          t.id, t.counted, t.leased, t.wanted)
        FROM task t
        WHERE OURS AND t.kind = 'ordinary' AND t.closed_at IS NOT NULL
          AND t.leased + t.counted < t.wanted
        """,
    ),
    Check(
        "leased",
        "The places held in a task are its open assignments.",
        """
        SELECT t.project_id, format('task %s: %s places held, %s open assignments',
          t.id, t.leased, coalesce(a.number, 0))
        FROM task t
        LEFT JOIN (
          SELECT task_id, count(*) AS number FROM assignment
          WHERE state = 'open' AND NOT is_repeat GROUP BY task_id
        ) a ON a.task_id = t.id
        WHERE OURS AND t.kind = 'ordinary' AND t.leased <> coalesce(a.number, 0)
        """,
    ),
    Check(
        "counted",
        "The judgements a task has are its current judgements that count.",
        """
        SELECT t.project_id, format('task %s: %s judgements, %s that count',
          t.id, t.counted, coalesce(a.number, 0))
        FROM task t
        LEFT JOIN (
          SELECT a.task_id, count(*) AS number FROM annotation a
          WHERE OURS_A AND a.is_current AND a.counted GROUP BY a.task_id
        ) a ON a.task_id = t.id
        WHERE OURS AND t.kind = 'ordinary' AND t.counted <> coalesce(a.number, 0)
        """,
    ),
    Check(
        "once",
        "Nobody has a task twice, but for one silent repeat.",
        """
        SELECT min(a.project_id::text)::uuid, format('task %s: %s assignments of person %s%s',
          a.task_id, count(*), a.user_id, CASE WHEN a.is_repeat THEN ' as repeats' ELSE '' END)
        FROM assignment a
        WHERE OURS_A AND (NOT a.is_repeat OR a.display_order IS NOT NULL)
        GROUP BY a.task_id, a.user_id, a.is_repeat HAVING count(*) > 1
        """,
    ),
    Check(
        "judgement",
        "What was handed in has one current judgement.",
        """
        SELECT a.project_id, format('assignment %s: handed in, with %s current judgements',
          a.id, coalesce(n.number, 0))
        FROM assignment a
        LEFT JOIN (
          SELECT a.assignment_id, count(*) AS number FROM annotation a
          WHERE OURS_A AND a.is_current GROUP BY a.assignment_id
        ) n ON n.assignment_id = a.id
        WHERE OURS_A AND a.state = 'submitted' AND coalesce(n.number, 0) <> 1
        """,
    ),
    Check(
        "handed_in",
        "What has a judgement was handed in, by the same person, on the same task.",
        """
        SELECT n.project_id, format('judgement %s: its assignment %s is %s', n.id, s.id,
          CASE WHEN s.state <> 'submitted' THEN s.state ELSE 'of another task or person' END)
        FROM annotation n JOIN assignment s ON s.id = n.assignment_id
        WHERE OURS_N AND n.is_current AND (s.state <> 'submitted' OR s.task_id <> n.task_id
          OR s.user_id <> n.user_id OR s.is_repeat <> n.is_repeat)
        """,
    ),
    Check(
        "two_open",
        "Nobody holds more than two tasks of a project.",
        """
        SELECT a.project_id, format('person %s: %s open assignments', a.user_id, count(*))
        FROM assignment a
        WHERE OURS_A AND a.state = 'open'
        GROUP BY a.project_id, a.user_id HAVING count(*) > 2
        """,
    ),
    Check(
        "never_counts",
        "Gold, repeats and sources never count.",
        """
        SELECT n.project_id, format('judgement %s counts, though it is %s', n.id, CASE
          WHEN n.source IS NOT NULL THEN 'of a source'
          WHEN n.is_repeat THEN 'a repeat' ELSE 'of a ' || t.kind || ' task' END)
        FROM annotation n JOIN task t ON t.id = n.task_id
        WHERE OURS_N AND n.counted
          AND (t.kind <> 'ordinary' OR n.is_repeat OR n.source IS NOT NULL)
        """,
    ),
    Check(
        "revisions",
        "The revisions of a judgement are 1, 2, 3 … and the last one is current.",
        """
        SELECT min(n.project_id::text)::uuid,
          format('assignment %s: %s revisions from %s to %s, current %s', n.assignment_id,
            count(*), min(n.revision), max(n.revision),
            coalesce(max(n.revision) FILTER (WHERE n.is_current)::text, 'none'))
        FROM annotation n
        WHERE OURS_N AND n.assignment_id IS NOT NULL
        GROUP BY n.assignment_id
        HAVING min(n.revision) <> 1 OR max(n.revision) <> count(*)
          OR max(n.revision) FILTER (WHERE n.is_current) IS DISTINCT FROM max(n.revision)
        """,
    ),
)


def statement(*, of_project: bool) -> str:
    """All checks in one; the first rows of each that breaks a rule.

    Materialised: for the first rows of a result the planner would go row by row through indexes,
    which takes for ever where there are none.
    """
    tables, parts = [], []
    for check in CHECKS:
        sql = check.broken
        for row, mark in (("n", "OURS_N"), ("a", "OURS_A"), ("t", "OURS")):
            sql = sql.replace(mark, f"{row}.project_id = :project" if of_project else "true")
        tables.append(f"{check.name}(project_id, what) AS MATERIALIZED ({sql})")
        parts.append(f"(SELECT '{check.name}', * FROM {check.name} LIMIT {NAMED + 1})")  # noqa: S608 – all of it is ours
    return f"WITH {', '.join(tables)} {' UNION ALL '.join(parts)}"


OF_PROJECT = text(statement(of_project=True)).bindparams(bindparam("project", type_=Uuid()))
OF_ALL = text(statement(of_project=False))


def invariants(session: Session, *, project: Project | None = None) -> list[Result]:
    """Every check, over one project or over all of them."""
    if project is None:
        rows = session.execute(OF_ALL).all()
    else:
        rows = session.execute(OF_PROJECT, {"project": project.id}).all()
    broken: dict[str, list[tuple[UUID, str]]] = {}
    for name, project_id, what in rows:
        broken.setdefault(name, []).append((project_id, what))
    return [
        Result(
            check.name,
            check.rule,
            broken=[
                what if project else f"project {project_id}, {what}"
                for project_id, what in broken.get(check.name, [])[:NAMED]
            ],
            is_cut=len(broken.get(check.name, [])) > NAMED,
        )
        for check in CHECKS
    ]
