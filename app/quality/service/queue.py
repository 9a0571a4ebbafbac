"""The queue of a reviewer: what she looks at first, what comes next, and how far she is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.annotation.rules import DEFAULT_CONFIDENCE
from app.db import database_now
from app.projects.models import Project
from app.quality.queries import queue as queries
from app.quality.queries.queue import Candidate
from app.quality.queries.review import TaskLine, task_lines
from app.quality.rules import queue as rules
from app.quality.rules.queue import Given, Mark, Order, State
from app.quality.schemas.queue import QueueFilters
from app.quality.service import summary
from app.quality.service.summary import View

LOOKED_AT = 4_000  # tasks that are compared while somebody waits


@dataclass(frozen=True, slots=True)
class Scores:
    """What is told of one task; `difference`: of the person that was asked for from the others."""

    n_annotations: int
    disagreement: float | None
    posterior: float | None
    difference: float | None


@dataclass(frozen=True, slots=True)
class Item:
    line: TaskLine
    state: State
    settled_at: datetime | None
    scores: Scores


@dataclass(frozen=True, slots=True)
class Queue:
    """A page of the queue; `n` counts by state what fits the filters, whatever its state.

    `is_cut`: of so many tasks only the most disputed ones of the whole project are looked at.
    """

    items: Sequence[Item]
    next_mark: Mark | None
    n: dict[State, int]
    as_of: datetime
    is_current: bool
    is_cut: bool

    @property
    def in_all(self) -> int:
        return self.n[State.OPEN] + self.n[State.SENT_BACK] + self.n[State.SETTLED]


def queue(
    session: Session,
    *,
    project: Project,
    filters: QueueFilters,
    start: Mark | None = None,
    limit: int,
    doubtful: bool = True,
    wait: bool = False,
) -> Queue | None:
    """A page of it; `doubtful`: only of what people differ on, or where the answer is unsure.

    None while the figures of a large project are computed for the first time.
    """
    now, is_current = database_now(session), True
    found = queries.candidates(session, project=project, filters=filters, limit=LOOKED_AT + 1)
    is_cut = len(found) > LOOKED_AT
    if is_cut:
        view = summary.current(session, project=project, wait=wait)
        if view is None:
            return None
        now, is_current = view.computed_at, view.is_current
        found = queries.candidates(
            session, project=project, filters=filters, limit=LOOKED_AT, ids=_worst(view)
        )
    said = queries.given(session, task_ids=[each.task_id for each in found])
    marks: dict[UUID, Mark] = {}
    for task_id, given in said.items():
        value = _value(given, filters, project)
        if value is not None and (not doubtful or _is_doubtful(value, given, filters, project)):
            marks[task_id] = Mark(value, task_id)
    chosen = {each.task_id: each for each in found if each.task_id in marks}
    n = {state: sum(each.state is state for each in chosen.values()) for state in State}
    ahead = rules.after(
        (
            mark
            for mark in marks.values()
            if filters.state is None or chosen[mark.task_id].state is filters.state
        ),
        start,
    )
    page = ahead[:limit]
    return Queue(
        items=_items(session, page, chosen, said, filters, project),
        next_mark=page[-1] if len(ahead) > limit else None,
        n=n,
        as_of=now,
        is_current=is_current,
        is_cut=is_cut,
    )


def _worst(view: View) -> list[UUID]:
    """The tasks looked at where there are too many: those of the kept figures that differ most.

    An answer is hardly unsure where nobody says another thing, so they serve both orders.
    """
    return [UUID(task["task_id"]) for task in view.figures["disputed"]]


def _value(given: Sequence[Given], filters: QueueFilters, project: Project) -> float | None:
    """What the queue is ordered by, the smallest first; no more is told of tasks out of sight."""
    if filters.order is Order.POSTERIOR:
        return rules.posterior(given, allow_ties=project.allow_ties)
    if filters.annotator:
        differs = _difference(given, filters.annotator)
    else:
        differs = rules.disagreement([each.ranks for each in given])
    return None if differs is None else -differs


def _difference(given: Sequence[Given], annotator: UUID | None) -> float | None:
    """Of what she says from the others, None where she says nothing."""
    hers = [each.ranks for each in given if each.user_id == annotator]
    others = [each.ranks for each in given if each.user_id != annotator]
    return rules.difference(hers[0], others) if hers else None


def _is_doubtful(
    value: float, given: Sequence[Given], filters: QueueFilters, project: Project
) -> bool:
    if filters.state is State.GOLD:  # its answer is known; who answers otherwise is of interest
        return True
    if filters.order is not Order.POSTERIOR:
        return value < 0
    if filters.annotator and not _difference(given, filters.annotator):
        return False
    return value < (project.overlap_confidence or DEFAULT_CONFIDENCE)


def _items(
    session: Session,
    page: Sequence[Mark],
    chosen: dict[UUID, Candidate],
    said: dict[UUID, list[Given]],
    filters: QueueFilters,
    project: Project,
) -> list[Item]:
    lines = task_lines(session, task_ids=[mark.task_id for mark in page], with_gold=True)
    return [
        Item(
            line=lines[task_id],
            state=chosen[task_id].state,
            settled_at=chosen[task_id].settled_at,
            scores=_scores(said[task_id], filters, project),
        )
        for task_id in (mark.task_id for mark in page)
        if task_id in lines
    ]


def _scores(given: Sequence[Given], filters: QueueFilters, project: Project) -> Scores:
    return Scores(
        n_annotations=len(given),
        disagreement=rules.disagreement([each.ranks for each in given]),
        posterior=rules.posterior(given, allow_ties=project.allow_ties),
        difference=_difference(given, filters.annotator),
    )


def place_of(
    session: Session, *, project: Project, filters: QueueFilters, task_id: UUID
) -> Mark | None:
    """Where a task stands in this queue, or stood before it was settled."""
    said = queries.given(session, task_ids=[task_id]).get(task_id)
    if said is None:
        return None
    value = _value(said, filters, project)
    return None if value is None else Mark(value, task_id)
