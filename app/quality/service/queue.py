"""The queue of a reviewer: what she looks at first, what comes next, and how far she is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.annotation.rules import DEFAULT_CONFIDENCE
from app.db import database_now
from app.projects.models import Project
from app.quality.models import Part
from app.quality.queries import queue as queries
from app.quality.queries.queue import Candidate
from app.quality.queries.review import TaskLine, task_lines
from app.quality.rules import queue as rules
from app.quality.rules.queue import Given, Mark, Order, State
from app.quality.schemas.queue import QueueFilters
from app.quality.service import summary
from app.quality.service.summary import View

LOOKED_AT = 4_000  # tasks that are compared while somebody waits
# Where there are more, those that the kept figures name as the worst.
WORST = {
    Order.DISAGREEMENT: (Part.OVERVIEW, "disputed"),
    Order.POSTERIOR: (Part.CONSENSUS, "uncertain"),
}


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

    `is_cut`: of so many tasks only the worst ones of the whole project are looked at.
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
    part, worst = WORST[filters.order]
    view = None
    found = queries.candidates(session, project=project, filters=filters, limit=LOOKED_AT + 1)
    is_cut = len(found) > LOOKED_AT
    if is_cut or filters.order is Order.POSTERIOR:
        view = summary.current(session, project=project, part=part, wait=wait)
        if view is None:
            return None
    if view is not None and is_cut:
        ids = [UUID(task["task_id"]) for task in view.figures[worst]]
        found = queries.candidates(session, project=project, filters=filters, ids=ids)
    said = queries.given(session, task_ids=[each.task_id for each in found])
    measure = Measure(project, filters, sure=_sure(view))
    marks: dict[UUID, Mark] = {}
    for each in found:
        value = measure.value(each, said.get(each.task_id, []))
        if value is not None and (not doubtful or measure.is_doubtful(value, each, said)):
            marks[each.task_id] = Mark(value, each.task_id)
    chosen = {each.task_id: each for each in found if each.task_id in marks}
    n = {state: sum(each.state is state for each in chosen.values()) for state in State}
    ahead = rules.after(
        (mark for mark in marks.values() if measure.fits(chosen[mark.task_id])), start
    )
    page = ahead[:limit]
    return Queue(
        items=_items(session, page, chosen, said, measure),
        next_mark=page[-1] if len(ahead) > limit else None,
        n=n,
        as_of=view.computed_at if view else database_now(session),
        is_current=view is None or view.is_current,
        is_cut=is_cut,
    )


def _sure(view: View | None) -> dict[UUID, float]:
    """How sure the answers are that nobody has settled; those left out are surer than these."""
    answers = view.figures.get("uncertain", []) if view else []
    return {UUID(task["task_id"]): task["posterior"] for task in answers}


@dataclass(frozen=True, slots=True)
class Measure:
    """What the queue is ordered by; `sure`: the posteriors of `Part.CONSENSUS`, by task."""

    project: Project
    filters: QueueFilters
    sure: Mapping[UUID, float]

    def value(self, task: Candidate, given: Sequence[Given]) -> float | None:
        """The smallest comes first; no more is told of tasks out of sight."""
        if not given:
            return None
        if self.filters.order is Order.POSTERIOR:
            return self._posterior(task, given)
        if self.filters.annotator:
            differs = _difference(given, self.filters.annotator)
        else:
            differs = rules.disagreement([each.ranks for each in given])
        return None if differs is None else -differs

    def _posterior(self, task: Candidate, given: Sequence[Given]) -> float | None:
        if task.state is State.SETTLED or self.filters.state is State.GOLD:
            # Its answer is known by now: how sure it was without that is told by the votes alone.
            return rules.posterior(given, allow_ties=self.project.allow_ties)
        return self.sure.get(task.task_id)

    def is_doubtful(
        self, value: float, task: Candidate, said: Mapping[UUID, Sequence[Given]]
    ) -> bool:
        if self.filters.state is State.GOLD:  # who answers otherwise is of interest
            return True
        if self.filters.order is not Order.POSTERIOR:
            return value < 0
        if self.filters.annotator and not _difference(said[task.task_id], self.filters.annotator):
            return False
        sure = self.project.overlap_confidence or DEFAULT_CONFIDENCE
        return value < sure and (task.is_full or task.state is State.SETTLED)

    def fits(self, task: Candidate) -> bool:
        if self.filters.state is not None:
            return task.state is self.filters.state
        return self.filters.order is not Order.POSTERIOR or task.state is not State.SETTLED

    def scores(self, task: Candidate, given: Sequence[Given]) -> Scores:
        is_asked = self.filters.order is Order.POSTERIOR
        return Scores(
            n_annotations=len(given),
            disagreement=rules.disagreement([each.ranks for each in given]),
            posterior=self._posterior(task, given) if is_asked else None,
            difference=_difference(given, self.filters.annotator),
        )


def _difference(given: Sequence[Given], annotator: UUID | None) -> float | None:
    """Of what she says from the others, None where she says nothing."""
    hers = [each.ranks for each in given if each.user_id == annotator]
    others = [each.ranks for each in given if each.user_id != annotator]
    return rules.difference(hers[0], others) if hers else None


def _items(
    session: Session,
    page: Sequence[Mark],
    chosen: Mapping[UUID, Candidate],
    said: Mapping[UUID, Sequence[Given]],
    measure: Measure,
) -> list[Item]:
    lines = task_lines(session, task_ids=[mark.task_id for mark in page], with_gold=True)
    return [
        Item(
            line=lines[task_id],
            state=chosen[task_id].state,
            settled_at=chosen[task_id].settled_at,
            scores=measure.scores(chosen[task_id], said[task_id]),
        )
        for task_id in (mark.task_id for mark in page)
        if task_id in lines
    ]


def place_of(
    session: Session, *, project: Project, filters: QueueFilters, task_id: UUID
) -> Mark | None:
    """Where a task stands in this queue; None where it has left it: go on from the beginning."""
    view = None
    if filters.order is Order.POSTERIOR:
        view = summary.current(session, project=project, part=Part.CONSENSUS)
    said = queries.given(session, task_ids=[task_id]).get(task_id, [])
    here = Candidate(task_id, State.OPEN, settled_at=None, is_full=True)
    value = Measure(project, filters, sure=_sure(view)).value(here, said)
    return None if value is None else Mark(value, task_id)
