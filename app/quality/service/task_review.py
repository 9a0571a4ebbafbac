"""One task with everything a reviewer decides by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.corpus.models import Response
from app.projects.models import Guidelines, Project
from app.quality.models import Adjudication, SendBack
from app.quality.queries import queue as queue_queries
from app.quality.queries import review as queries
from app.quality.queries.review import Judgement
from app.quality.rules import queue as rules
from app.quality.rules.consensus import Consensus, majority
from app.quality.rules.history import event_in_words
from app.quality.rules.review import holding, label
from app.quality.service.settling import stamp_of
from app.tasks.models import GoldKey, Task, TaskKind
from app.tasks.queries import Taker, takers

WIDTH = 100  # of a picture of votes


@dataclass(frozen=True, slots=True)
class Bar:
    """The votes on a pair, as a picture: `parts` are (what, from, width)."""

    first: str
    second: str
    n_first: int
    n_tie: int
    n_second: int
    parts: Sequence[tuple[str, float, float]]


@dataclass(frozen=True, slots=True)
class Event:
    at: datetime
    by: str | None
    did: str


@dataclass(frozen=True, slots=True)
class TaskReview:
    """A task under review.

    `consensus`, `posterior` and `disagreement` are of what counts, or of the answers to gold;
    `guidelines`: the version in force, then others that somebody judged it under.
    """

    responses: Sequence[tuple[str, Response]]
    judgements: Sequence[Judgement]
    consensus: Consensus | None
    posterior: float | None
    disagreement: float | None
    bars: Sequence[Bar]
    adjudications: Sequence[tuple[Adjudication, str | None]]
    holding: Adjudication | None
    send_backs: Sequence[tuple[SendBack, str | None]]
    gold_key: GoldKey | None
    guidelines: Sequence[Guidelines]
    takers: Sequence[Taker]
    history: Sequence[Event]
    stamp: str

    @property
    def undoable(self) -> SendBack | None:
        """The newest request for more judgements that was not taken back."""
        return next((each for each, _ in self.send_backs if each.undone_at is None), None)


def task_review(session: Session, *, task: Task, project: Project) -> TaskReview:
    judgements = queries.judgements_of(session, task=task)
    adjudications = queries.adjudications_of(session, task=task)
    said = queue_queries.given(session, task_ids=[task.id]).get(task.id, [])
    consensus = majority([each.ranks for each in said]) if said else None
    versions = {each.guidelines_version for each in judgements}
    return TaskReview(
        responses=[
            (label(place), response)
            for place, response in enumerate(queries.responses_of(session, task=task))
        ],
        judgements=judgements,
        consensus=consensus,
        posterior=rules.posterior(said, allow_ties=project.allow_ties),
        disagreement=rules.disagreement([each.ranks for each in said]),
        bars=bars(consensus) if consensus else [],
        adjudications=adjudications,
        holding=holding(each for each, _ in adjudications),
        send_backs=queries.send_backs_of(session, task=task),
        gold_key=queries.gold_key_of(session, task=task),
        guidelines=queries.guidelines_judged_under(
            session, task=task, versions=versions | {project.guidelines_version}
        ),
        takers=takers(session, task=task) if task.kind is TaskKind.ORDINARY else [],
        history=[
            Event(event.at, name, event_in_words(event.action, event.details))
            for event, name in queries.history_of(session, task=task)
        ],
        stamp=stamp_of(session, task=task),
    )


def bars(consensus: Consensus) -> list[Bar]:
    """A bar per implied pair, in canonical order."""
    made = []
    for (i, j), votes in consensus.votes.items():
        parts, start = [], 0.0
        for what, number in (("first", votes.first), ("tie", votes.tie), ("second", votes.second)):
            width = round(WIDTH * number / votes.number, 3)
            parts.append((what, start, width))
            start += width
        made.append(Bar(label(i), label(j), votes.first, votes.tie, votes.second, parts))
    return made


def ratings_in_words(judgement: Judgement, criteria: Sequence[dict[str, Any]]) -> list[str]:
    """`Helpful: A 4, B 2` per criterion that somebody rated."""
    lines = []
    for criterion in criteria:
        values = judgement.ratings.get(criterion["key"]) or []
        given = values.items() if isinstance(values, dict) else enumerate(values)
        named = [f"{label(int(place))} {value}" for place, value in given if value is not None]
        if named:
            lines.append(f"{criterion['label']}: {', '.join(named)}")
    return lines


def flags_in_words(judgement: Judgement, names: dict[str, str]) -> list[str]:
    """`A: Unsafe or harmful` per response that somebody flagged."""
    return [
        f"{label(int(place)) if str(place).isdigit() else place}: "
        f"{', '.join(names.get(flag, flag) for flag in flags)}"
        for place, flags in judgement.flags.items()
        if flags
    ]
