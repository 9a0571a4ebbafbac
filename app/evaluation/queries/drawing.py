"""Which prompts an evaluation asks: drawn by chance, none that a contestant learnt from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.corpus.queries import by_lot
from app.datasets.models import Snapshot
from app.datasets.rules.identity import Split, split_of
from app.evaluation.queries.reading import Contestant
from app.evaluation.schemas import EvaluationBody
from app.projects.models import Project
from app.runs import queries as runs
from app.runs.models import Checkpoint
from app.runs.queries import Step
from app.tasks.models import Task, TaskResponse

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Taught:
    """A snapshot that a contestant, or what it was trained on top of, has learnt from."""

    frozen_at: datetime
    test_share: float
    seed: int

    def may_hold(self, *, messages: Sequence[Any], created_at: datetime) -> bool:
        """Whether a prompt may stand in its training split.

        By the split's own rule, which looks at the first user turn alone: a continuation of what
        was trained on counts as seen as well.
        """
        if created_at > self.frozen_at:
            return False
        side = split_of(messages, test_share=self.test_share, seed=self.seed)
        return side is Split.TRAIN


@dataclass(frozen=True, slots=True)
class Drawn:
    """seen: of the prompts, those that a contestant may have learnt from; passed_by: likewise."""

    prompt_ids: list[UUID]
    seen: int
    passed_by: int


def taught_by(session: Session, *, checkpoints: Sequence[Checkpoint]) -> list[Taught]:
    snapshots: dict[UUID, Snapshot] = {}
    for checkpoint in checkpoints:
        for snapshot in _snapshots(runs.ancestry(session, checkpoint=checkpoint)):
            snapshots[snapshot.id] = snapshot
    return [
        Taught(
            one.created_at, float(one.recipe.get("test_share", 0)), int(one.recipe.get("seed", 0))
        )
        for one in snapshots.values()
    ]


def _snapshots(step: Step | None) -> Iterator[Snapshot]:
    if step is not None:
        if step.snapshot is not None:
            yield step.snapshot
        yield from _snapshots(step.parent)
        yield from _snapshots(step.reward)


def draw(
    session: Session,
    *,
    project: Project,
    body: EvaluationBody,
    taught: Sequence[Taught],
    test_of: Snapshot | None,
) -> Drawn:
    """At most `body.prompts` in the order of the seed: the same wherever the data was imported."""
    candidates = select(Prompt.id, Prompt.messages, Prompt.created_at).where(
        Prompt.project_id == project.id
    )
    if body.tag is not None:
        candidates = candidates.where(Prompt.tags.contains([body.tag]))
    if body.source is not None:
        candidates = candidates.where(Prompt.source == body.source)
    if test_of is not None:
        candidates = candidates.where(Prompt.created_at <= test_of.created_at)
    if body.b.data is not None:
        judged = (
            select(Annotation.id)
            .join(Task, Task.id == Annotation.task_id)
            .where(Task.prompt_id == Prompt.id, Annotation.is_current.is_(True))
        )
        candidates = candidates.where(judged.exists())
    drawn = candidates.order_by(by_lot(Prompt.content_hash, body.seed))
    rows = session.execute(drawn.execution_options(yield_per=_AT_ONCE))
    ids: list[UUID] = []
    seen = passed_by = 0
    for row in rows:
        if len(ids) == body.prompts:
            break
        if test_of is not None and not _is_in_test(row.messages, test_of):
            continue
        was_seen = any(
            one.may_hold(messages=row.messages, created_at=row.created_at) for one in taught
        )
        if was_seen and not body.allow_seen:
            passed_by += 1
            continue
        seen += was_seen
        ids.append(row.id)
    rows.close()
    return Drawn(ids, seen, passed_by)


def _is_in_test(messages: Sequence[Any], snapshot: Snapshot) -> bool:
    share, seed = snapshot.recipe.get("test_share", 0), snapshot.recipe.get("seed", 0)
    return split_of(messages, test_share=float(share), seed=int(seed)) is Split.TEST


def best_judged(
    session: Session, *, prompt_ids: Sequence[UUID], not_by: Contestant
) -> dict[UUID, UUID]:
    """By prompt, the response in the data that people put highest; it is not of this contestant.

    Highest by the mean place over its judgements, 0 = first and 1 = last in each; people's
    judgements come before those of sources, more of them before fewer.
    """
    rank = Annotation.ranks[TaskResponse.position + 1]
    size = func.array_length(Annotation.ranks, 1)
    place = func.avg((rank - 1.0) / (size - 1.0))
    by_people = func.bool_or(Annotation.source.is_(None))
    judged = (
        select(
            Response.prompt_id,
            Response.id,
            Response.content_hash,
            place.label("place"),
            by_people.label("by_people"),
            func.count().label("number"),
        )
        .select_from(Annotation)
        .join(Task, Task.id == Annotation.task_id)
        .join(TaskResponse, TaskResponse.task_id == Task.id)
        .join(Response, Response.id == TaskResponse.response_id)
        .where(
            Task.prompt_id.in_(prompt_ids),
            Annotation.is_current.is_(True),
            Response.checkpoint_id.is_distinct_from(not_by.id)
            if isinstance(not_by, Checkpoint)
            else Response.source.is_distinct_from(not_by.source),
        )
        .group_by(Response.prompt_id, Response.id)
        .subquery()
    )
    rows = session.execute(
        select(judged.c.prompt_id, judged.c.id)
        .ext(distinct_on(judged.c.prompt_id))
        .order_by(
            judged.c.prompt_id,
            judged.c.by_people.desc(),
            judged.c.place,
            judged.c.number.desc(),
            judged.c.content_hash,
        )
    )
    return {row.prompt_id: row.id for row in rows}


def tags_of(session: Session, *, project: Project, most: int = 200) -> list[str]:
    """Tags of the project's prompts, for the form."""
    tag = func.unnest(Prompt.tags).label("tag")
    found = select(tag).where(Prompt.project_id == project.id).distinct().limit(most)
    return sorted(session.scalars(found).all())


def sources_of(session: Session, *, project: Project, most: int = 200) -> list[str]:
    found = (
        select(Prompt.source)
        .where(Prompt.project_id == project.id, Prompt.source.is_not(None))
        .distinct()
        .limit(most)
    )
    return sorted(filter(None, session.scalars(found).all()))
