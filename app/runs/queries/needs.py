"""What needs the weights of a checkpoint, and what of a project's files nothing needs."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    Boolean,
    String,
    Uuid,
    bindparam,
    column,
    func,
    null,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.orm import Session

from app import artifacts
from app.db import JobState, JsonObject, among
from app.projects.models import Project
from app.runs.models import Checkpoint, CleanUp, Retention, Run

DAYS = {"saved_days": 30, "failed_days": 90, "checkpoint_days": None}  # where nobody chose

# Whatever points to a checkpoint and would not go with it needs its weights, whoever made the
# table. What a checkpoint has written is there already: only unfinished writing needs it still.
_REFERENCES = text(
    """
    SELECT holder.relname AS "table", pointing.attname AS "column",
        EXISTS (
            SELECT FROM pg_attribute AS other WHERE other.attrelid = holder.oid
            AND other.attname = 'name' AND NOT other.attisdropped
        ) AS has_name
    FROM pg_constraint AS reference
    JOIN pg_class AS holder ON holder.oid = reference.conrelid
    JOIN pg_attribute AS pointing
        ON pointing.attrelid = holder.oid AND pointing.attnum = reference.conkey[1]
    WHERE reference.contype = 'f' AND reference.confdeltype = 'a'
        AND reference.confrelid = 'checkpoint'::regclass
    ORDER BY 1, 2
    """
).columns(column("table", String), column("column", String), column("has_name", Boolean))
ONLY_UNFINISHED = {"generation"}
PARTS = {"writer": ("generation", "generation_id")}  # whose end is that of what they belong to
WORDS = {
    ("checkpoint", "parent_id"): "was trained further into",
    ("run", "parent_checkpoint_id"): "is what began",
    ("run", "reward_checkpoint_id"): "is the reward of",
    ("promotion", "checkpoint_id"): "was promoted",
}


def needs(session: Session, *, checkpoint_ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """Why the weights of these must stay, each reason in words; those nothing needs are left out.

    The references are asked of the database itself, so that none is forgotten.
    """
    found: dict[UUID, list[str]] = {}
    for reference in session.execute(_REFERENCES).all():
        name = reference.table
        key = column(reference.column, Uuid())
        whole_name, own_name = PARTS.get(name, (name, "id"))
        own = column(own_name, Uuid())
        rows = table(name, key, own, column("name"), column("finished_at"))
        called = rows.c.name if reference.has_name else null()
        asked = select(key.label("key"), called.label("called")).select_from(rows)
        asked = asked.where(key == func.any(bindparam("ids", list(checkpoint_ids))))
        if name in PARTS:
            whole = table(whole_name, column("id", Uuid()), column("finished_at"))
            asked = asked.join(whole, own == whole.c.id).where(whole.c.finished_at.is_(None))
        if name in ONLY_UNFINISHED:
            asked = asked.where(rows.c.finished_at.is_(None))
        words = WORDS.get((name, reference.column), f"is used by an {name.replace('_', ' ')}")
        for row in session.execute(asked):
            said = f"{words} “{row.called}”" if row.called else words
            reasons = found.setdefault(row.key, [])
            if said not in reasons:
                reasons.append(said)
    return found


class Kind(StrEnum):
    """What may go."""

    SAVED = "saved"
    FILES = "files"
    CHECKPOINT = "checkpoint"
    FOLDER = "folder"


WHAT = {
    Kind.SAVED: "State to resume from",
    Kind.FILES: "Log and files of an ended run",
    Kind.CHECKPOINT: "Weights of a checkpoint",
    Kind.FOLDER: "Left behind by a lost attempt",
}


@dataclass(frozen=True, slots=True)
class Waste:
    """Files that nothing needs: `paths` in the store of what `id` names."""

    kind: Kind
    id: UUID | None
    name: str
    paths: tuple[str, ...]
    bytes: int
    since: datetime | None

    def as_json(self) -> JsonObject:
        told = asdict(self)
        return {
            **told,
            "id": None if self.id is None else str(self.id),
            "paths": list(self.paths),
            "since": self.since and self.since.isoformat(),
        }


def retention_of(session: Session, *, project: Project) -> Retention:
    """As an admin set it, or as it is where nobody did."""
    return session.get(Retention, project.id) or Retention(project_id=project.id, **DAYS)


def clean_ups_of(session: Session, *, project: Project, limit: int = 20) -> Sequence[CleanUp]:
    """The last first."""
    return session.scalars(
        select(CleanUp)
        .where(CleanUp.project_id == project.id)
        .order_by(CleanUp.created_at.desc(), CleanUp.id)
        .limit(limit)
    ).all()


def waste(session: Session, *, project: Project, now: datetime) -> list[Waste]:
    """What the rules of a project would remove now, the largest first."""
    rules = retention_of(session, project=project)
    found = [
        *_ended(session, project, rules.saved_days, rules.failed_days, now),
        *_weights(session, project, rules.checkpoint_days, now),
    ]
    return sorted(found, key=lambda each: (-each.bytes, each.name))


def _ended(
    session: Session,
    project: Project,
    saved_days: int | None,
    failed_days: int | None,
    now: datetime,
) -> list[Waste]:
    """Of runs that ended without a model."""
    runs = session.scalars(
        select(Run)
        .where(
            Run.project_id == project.id,
            Run.state.in_([JobState.FAILED, JobState.CANCELLED]),
            or_(Run.saved_path.is_not(None), Run.path.is_not(None), Run.base.has_key("path")),
        )
        .order_by(Run.finished_at)
    ).all()
    found = []
    for run in runs:
        if run.saved_path and _is_over(run, saved_days, now):
            states = dict.fromkeys((run.saved_path, *(each["path"] for each in run.saved)))
            found.append(_of_run(Kind.SAVED, run, *states))
        paths = [path for path in (run.path, run.base.get("path")) if path]
        if paths and _is_over(run, failed_days, now):
            found.append(_of_run(Kind.FILES, run, *paths))
    return found


def _is_over(run: Run, days: int | None, now: datetime) -> bool:
    if days is None or run.finished_at is None:
        return False
    return run.finished_at < now - timedelta(days=days)


def _of_run(kind: Kind, run: Run, *paths: str) -> Waste:
    size = sum(artifacts.held(path).bytes for path in paths)
    return Waste(kind, run.id, run.name, paths, size, run.finished_at)


def _weights(session: Session, project: Project, days: int | None, now: datetime) -> list[Waste]:
    """Of checkpoints that nothing was built on; the newest of each kind always stays."""
    if days is None:
        return []
    there = session.scalars(
        select(Checkpoint)
        .where(Checkpoint.project_id == project.id, Checkpoint.removed_at.is_(None))
        .order_by(Checkpoint.created_at.desc(), Checkpoint.id)
    ).all()
    newest: dict[str, UUID] = {}
    for each in there:
        newest.setdefault(each.kind, each.id)
    old = [
        each
        for each in there
        if each.created_at < now - timedelta(days=days) and newest[each.kind] != each.id
    ]
    needed = needs(session, checkpoint_ids=[each.id for each in old])
    return [
        Waste(Kind.CHECKPOINT, each.id, each.name, (each.path,), each.bytes, each.created_at)
        for each in old
        if each.id not in needed
    ]


def registered(session: Session) -> set[str]:
    """All folders of runs that a row leads to."""
    known: set[str] = set()
    rows = select(Run.path, Run.saved_path, Run.base["path"].astext, Run.saved)
    for *paths, saved in session.execute(rows):
        known.update(path for path in (*paths, *(each["path"] for each in saved)) if path)
    known.update(session.scalars(select(Checkpoint.path).where(Checkpoint.removed_at.is_(None))))
    return known


def removed_weights(session: Session, *, paths: Collection[str]) -> set[str]:
    """Those of `paths` that were the weights of a checkpoint which has been removed."""
    return set(
        session.scalars(
            select(Checkpoint.path).where(
                among(Checkpoint.path, paths), Checkpoint.removed_at.is_not(None)
            )
        )
    )
