"""Judgements that come with imported data: people's are counted, sources' are kept beside."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation import rules
from app.annotation.models import Annotation, Removal
from app.annotation.schemas import ImportedJudgement, Recorded
from app.annotation.service.gold import passes, restand
from app.db import JsonObject, among, are_held, bulk_insert, new_ids, vouched_keys, written
from app.errors import Invalid
from app.projects.models import Project
from app.projects.service import imported_members
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState, Task, TaskKind
from app.tasks.rules import MOST_COUNTED
from app.tasks.schemas import Gold

# Of tasks that are there already: kind, gold key in force, places taken.
OfTasks = tuple[Mapping[UUID, TaskKind], Mapping[UUID, Gold], Mapping[UUID, int]]
# What a person said of a task, as hashes; the two by their numbers, which are hashed soonest.
Known = Mapping[tuple[int, int], set[bytes | None]]


@dataclass(slots=True)
class Batch:
    """Rows to write, gathered in the order of the judgements."""

    assignments: list[JsonObject] = field(default_factory=list)
    annotations: list[JsonObject] = field(default_factory=list)
    counted: Counter[UUID] = field(default_factory=Counter)  # judgements more, by task
    golden: set[UUID] = field(default_factory=set)  # people who answered gold
    new: list[bool] = field(default_factory=list)  # of each judgement


@dataclass(frozen=True, slots=True)
class Sources:
    """What sources say, ready to be written: a source judges a task once."""

    ids: Sequence[UUID]
    insert: Insert


@dataclass(frozen=True, slots=True)
class PreparedJudgements:
    """Judgements of tasks that are new, with all that takes no database.

    It holds for as long as `members` are who they are said to be, and nobody of them was removed.
    """

    of_source: Sequence[bool]
    members: Mapping[str, UUID]
    sources: Sources | None
    batch: Batch
    inserts: Sequence[Insert]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What judgements come into: the project as it is, the time, and the import that brings them.

    Plain values, for threads that must not touch rows of a session.
    """

    project_id: UUID
    guidelines_version: int
    now: datetime
    import_id: UUID | None = None


def record_imported(
    session: Session,
    *,
    project: Project,
    judgements: Sequence[ImportedJudgement],
    now: datetime,
    opened: Mapping[UUID, int] = MappingProxyType({}),
    import_id: UUID | None = None,
) -> Recorded:
    """Record judgements of open tasks, in the order given; the same one again is known.

    A named person's first judgement of an ordinary task counts, and raises the wanted number
    where need be; a second, different one is a repeat. A source has one judgement per task. Of
    somebody whose judgements were removed here nothing comes back.
    `opened`: ordinary tasks that are new in this transaction, with the number of judgements they
    were opened with (`OpenedTask.counted`). Nothing else is known of those.
    """
    tasks.lock_opening(session, project=project)
    here = Surroundings(project.id, project.guidelines_version, now, import_id)
    of_source = [rules.is_source(each.annotator) for each in judgements]
    sources = [each for each, is_one in zip(judgements, of_source, strict=True) if is_one]
    people = [each for each, is_one in zip(judgements, of_source, strict=True) if not is_one]
    by_sources = _record_sources(session, sources=_sources(sources, here=here))
    batch = Batch()
    members: Mapping[str, UUID] = {}
    if people:
        members = imported_members(
            session, project=project, names={each.annotator for each in people}
        )
        older = {each.task_id for each in people} - opened.keys()
        batch = _sorted_out(
            people,
            here=here,
            members=members,
            removed=_removed(session, project=project),
            of_tasks=_tasks(session, task_ids=older),
            known=_known(session, task_ids=older),
        )
        _write(session, project=project, batch=batch, opened=opened, inserts=_inserts(batch))
    return _recorded(of_source, by_sources, batch, members)


def prepare_imported(
    judgements: Sequence[ImportedJudgement],
    *,
    here: Surroundings,
    members: Mapping[str, UUID],
) -> PreparedJudgements | None:
    """Judgements of tasks that are all new; None where somebody is not among the `members`."""
    of_source = [rules.is_source(each.annotator) for each in judgements]
    sources = [each for each, is_one in zip(judgements, of_source, strict=True) if is_one]
    people = [each for each, is_one in zip(judgements, of_source, strict=True) if not is_one]
    known = {
        name: user_id
        for name in {each.annotator for each in people}
        if (user_id := members.get(name)) is not None
    }
    if any(each.annotator not in known for each in people):
        return None
    batch = _sorted_out(people, here=here, members=known, removed=set())
    return PreparedJudgements(
        of_source=of_source,
        members=known,
        sources=_sources(sources, here=here),
        batch=batch,
        inserts=_inserts(batch),
    )


def record_prepared(
    session: Session,
    *,
    project: Project,
    prepared: PreparedJudgements,
    opened: Mapping[UUID, int],
) -> Recorded | None:
    """Record them; None where what they were prepared for does not hold any more."""
    tasks.lock_opening(session, project=project)
    names = prepared.members.keys()
    if names:
        members = imported_members(session, project=project, names=names)
        removed = _removed(session, project=project)
        if members != prepared.members or not removed.isdisjoint(members.values()):
            return None
        if not are_held(session, User.id, members.values()):
            return None
    batch = prepared.batch
    with vouched_keys(session):  # the tasks are new, the people held
        by_sources = _record_sources(session, sources=prepared.sources)
        _write(session, project=project, batch=batch, opened=opened, inserts=prepared.inserts)
    return _recorded(prepared.of_source, by_sources, batch, prepared.members)


def _recorded(
    of_source: Sequence[bool],
    by_sources: Sequence[bool],
    batch: Batch,
    members: Mapping[str, UUID],
) -> Recorded:
    sources, people = iter(by_sources), iter(batch.new)
    is_new = [next(sources if is_one else people) for is_one in of_source]
    return Recorded(is_new, sum(row["is_repeat"] for row in batch.annotations), members)


def _sources(judgements: Sequence[ImportedJudgement], *, here: Surroundings) -> Sources | None:
    if not judgements:
        return None
    ids = new_ids(len(judgements))
    rows = [
        _annotation(judgement, here=here, row_id=row_id) | {"source": judgement.annotator}
        for row_id, judgement in zip(ids, judgements, strict=True)
    ]
    return Sources(ids, bulk_insert(Annotation, rows).on_conflict_do_nothing())


def _record_sources(session: Session, *, sources: Sources | None) -> Sequence[bool]:
    """Which of them are new."""
    if sources is None:
        return []
    if written(session, sources.insert) == len(sources.ids):
        return [True] * len(sources.ids)
    kept = set(session.scalars(select(Annotation.id).where(among(Annotation.id, sources.ids))))
    return [row_id in kept for row_id in sources.ids]


def _removed(session: Session, *, project: Project) -> set[UUID]:
    """Whose judgements were removed here."""
    return set(
        session.scalars(
            select(Removal.user_id).where(
                Removal.project_id == project.id, Removal.only_texts.is_(False)
            )
        )
    )


def _sorted_out(
    judgements: Sequence[ImportedJudgement],
    *,
    here: Surroundings,
    members: Mapping[str, UUID],
    removed: Collection[UUID],
    of_tasks: OfTasks = ({}, {}, {}),
    known: Known = MappingProxyType({}),
) -> Batch:
    """Which judgements are new, which repeat another of the same person, which are known."""
    kinds, keys, taken = of_tasks
    heard = dict(known)
    ids = iter(new_ids(2 * len(judgements)))
    batch = Batch()
    for judgement in judgements:
        task_id, user_id = judgement.task_id, members[judgement.annotator]
        row = _annotation(judgement, here=here, row_id=next(ids))
        before = heard.setdefault((task_id.int, user_id.int), set())
        batch.new.append(row["body_hash"] not in before and user_id not in removed)
        if not batch.new[-1]:
            continue
        row["user_id"] = user_id
        row["assignment_id"] = next(ids)
        row["is_repeat"] = bool(before)
        is_ordinary = kinds.get(task_id, TaskKind.ORDINARY) is TaskKind.ORDINARY  # or it is new
        row["counted"] = judgement.counted and not before and is_ordinary
        if task_id in keys:
            row["gold_passed"] = passes(keys[task_id], row["ranks"])
            batch.golden.add(user_id)
        batch.annotations.append(row)
        batch.assignments.append(_assignment(row))
        before.add(row["body_hash"])
    batch.counted.update(row["task_id"] for row in batch.annotations if row["counted"])
    if any(taken.get(each, 0) + more > MOST_COUNTED for each, more in batch.counted.items()):
        raise Invalid(
            f"A task would have more than {MOST_COUNTED:,} judgements that count. Do all these "
            "lines have the same prompt and responses by mistake? Otherwise keep fewer of them."
        )
    return batch


def _tasks(session: Session, *, task_ids: set[UUID]) -> OfTasks:
    """Kind, gold key in force and places taken of each task; held, so that they stay."""
    if not task_ids:
        return {}, {}, {}
    rows = session.execute(
        select(Task.id, Task.kind, (Task.leased + Task.counted).label("taken"))
        .where(among(Task.id, task_ids))
        .order_by(Task.identity)
        .with_for_update(key_share=True)
    ).all()
    kinds = {row.id: row.kind for row in rows}
    golden = [task_id for task_id, kind in kinds.items() if kind is TaskKind.GOLD]
    keys = task_queries.gold_keys(session, task_ids=golden)
    return kinds, keys, {row.id: row.taken for row in rows}


def _known(session: Session, *, task_ids: set[UUID]) -> Known:
    """What people have judged of these tasks, as hashes."""
    known: dict[tuple[int, int], set[bytes | None]] = {}
    if not task_ids:
        return known
    rows = session.execute(
        select(Annotation.task_id, Annotation.user_id, Annotation.body_hash).where(
            among(Annotation.task_id, task_ids), Annotation.user_id.is_not(None)
        )
    )
    for task_id, user_id, digest in rows:
        if user_id is not None:
            known.setdefault((task_id.int, user_id.int), set()).add(digest)
    return known


def _annotation(judgement: ImportedJudgement, *, here: Surroundings, row_id: UUID) -> JsonObject:
    """A row as of nobody in particular; the hash is what makes it the same one again."""
    ranks = rules.standard_ranks(judgement.ranks)
    return {
        "id": row_id,
        "project_id": here.project_id,
        "task_id": judgement.task_id,
        "assignment_id": None,
        "user_id": None,
        "source": None,
        "guidelines_version": min(
            judgement.guidelines_version or here.guidelines_version, here.guidelines_version
        ),
        "counted": False,
        "is_repeat": False,
        "gold_passed": None,
        "ranks": ranks,
        "strength": judgement.strength,
        "ratings": judgement.ratings,
        "rationale": judgement.rationale,
        "flags": judgement.flags,
        "meta": judgement.meta or None,
        "rewrite": judgement.rewrite,
        "wall_ms": judgement.times.get("wall_ms"),
        "visible_ms": judgement.times.get("visible_ms"),
        "active_ms": judgement.times.get("active_ms"),
        "body_hash": _body_hash(judgement, ranks=ranks),
        "import_id": here.import_id,
        "submitted_at": judgement.created_at or here.now,
    }


def _body_hash(judgement: ImportedJudgement, *, ranks: list[int]) -> bytes:
    """SHA-256 of what was said, as JSON: never change it, or what is known comes in anew.

    `[ranks, strength, rationale, time, ratings, flags]`, and the rewrite where there is one.
    """
    said = [
        str(ranks),
        "null" if judgement.strength is None else str(judgement.strength),
        _quoted(judgement.rationale),
        _quoted(judgement.created_at.isoformat() if judgement.created_at else None),
        json.dumps(judgement.ratings, sort_keys=True) if judgement.ratings else "{}",
        json.dumps(judgement.flags, sort_keys=True) if judgement.flags else "{}",
    ]
    if judgement.rewrite is not None:
        said.append(quoted(judgement.rewrite))
    return hashlib.sha256(f"[{', '.join(said)}]".encode()).digest()


def _quoted(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _assignment(row: JsonObject) -> JsonObject:
    """What leads from a person to what she judged; nobody saw it here, so it has no order."""
    return {
        "id": row["assignment_id"],
        "project_id": row["project_id"],
        "task_id": row["task_id"],
        "user_id": row["user_id"],
        "state": AssignmentState.SUBMITTED,
        "is_repeat": row["is_repeat"],
        "created_at": row["submitted_at"],
        "finished_at": row["submitted_at"],
    }


def _inserts(batch: Batch) -> Sequence[Insert]:
    if not batch.annotations:
        return []
    return [bulk_insert(Assignment, batch.assignments), bulk_insert(Annotation, batch.annotations)]


def _write(
    session: Session,
    *,
    project: Project,
    batch: Batch,
    opened: Mapping[UUID, int],
    inserts: Sequence[Insert],
) -> None:
    by_number: dict[int, list[UUID]] = {}
    for task_id, number in batch.counted.items():
        by_number.setdefault(number - opened.get(task_id, 0), []).append(task_id)
    for number, task_ids in by_number.items():
        if number:
            counted = Task.leased + Task.counted + number
            session.execute(
                update(Task)
                .where(among(Task.id, task_ids))
                .values(counted=Task.counted + number, wanted=func.greatest(Task.wanted, counted))
            )
    for insert in inserts:
        session.execute(insert)
    if batch.golden:
        restand(session, project=project, user_ids=batch.golden)
