"""The list of people as the page shows it, and one person with her judgements over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import found
from app.projects.models import Project
from app.quality.queries import people as queries
from app.quality.queries.crowd import LAST, Crowd, crowd_of, last_tasks_of
from app.quality.queries.review import TaskLine, task_lines
from app.quality.rules import series as rules
from app.quality.rules.breakdowns import week_of
from app.quality.rules.findings import need
from app.quality.rules.health import CHANCE
from app.quality.rules.pace import READING
from app.quality.rules.series import Latest, Series, Span
from app.quality.schemas.agreement import FigureOut
from app.quality.schemas.people import AnnotatorOut, LengthsOut, PersonOut, SpanOut
from app.quality.service.summary import View
from app.tasks.rules import PRIOR

NOTHING_THEN = "She has judged no ordinary task then."


class Order(StrEnum):
    """Of the list of people."""

    LOOK = "look"
    NAME = "name"
    JUDGEMENTS = "judgements"
    LATEST = "latest"


def ordered(people: Sequence[AnnotatorOut], order: Order) -> list[AnnotatorOut]:
    """People come by name; the other orders keep it among equals."""
    match order:
        case Order.LOOK:
            return sorted(people, key=_need, reverse=True)
        case Order.JUDGEMENTS:
            return sorted(people, key=lambda person: -person.n_annotations)
        case Order.LATEST:
            return sorted(people, key=_latest, reverse=True)
        case Order.NAME:
            return list(people)


def one(people: Sequence[AnnotatorOut], user_id: UUID) -> AnnotatorOut:
    return found(next((row for row in people if row.user_id == str(user_id)), None))


def _need(person: AnnotatorOut) -> int:
    return need(each.level for each in person.findings)


def _latest(person: AnnotatorOut) -> float:
    return person.last_submitted_at.timestamp() if person.last_submitted_at else 0.0


@dataclass(frozen=True, slots=True)
class LatestLine:
    """One of her latest judgements: a task in a list, and what the others make of it."""

    task: TaskLine
    submitted_at: datetime
    judgement: Latest


@dataclass(frozen=True, slots=True)
class PersonView:
    """person: her figures; charts: name → data of the script of the page."""

    person: PersonOut
    charts: dict[str, Any]
    latest: Sequence[LatestLine]
    looked_at: int = LAST


def person_view(session: Session, *, project: Project, view: View, row: AnnotatorOut) -> PersonView:
    """Her figures as kept, and what her page draws, read for her alone."""
    user_id = UUID(row.user_id)
    crowd = crowd_of(session, project=project, tasks=last_tasks_of(project, user_id))
    codes = crowd.annotator_ids()
    code = codes.index(user_id) if user_id in codes else -1
    told = rules.series(crowd.judgements, code)
    gold = queries.gold_results(session, project=project, user_id=user_id)
    person = PersonOut(
        **row.model_dump(exclude_unset=True),
        as_of=view.computed_at,
        is_current=view.is_current,
        weeks=_spans(told.weeks, gold, key=lambda moment: week_of(moment.timestamp())),
        by_hour=_spans(told.hours, gold, key=lambda moment: f"{moment.astimezone(UTC):%H}"),
        places=told.places,
        no_single_best=told.ties,
        by_length=[
            LengthsOut(
                fewest_characters=part.characters[0],
                most_characters=part.characters[1],
                n=part.n,
                median_seconds=round(part.seconds, 1),
                below_reading_speed=round(part.below, 4),
            )
            for part in told.lengths
        ],
    )
    return PersonView(
        person,
        _charts(person, told, threshold=project.gold_threshold),
        _lines(session, crowd, told),
    )


def _spans(
    spans: Sequence[Span], gold: Sequence[tuple[datetime, bool]], *, key: Any
) -> list[SpanOut]:
    """With the gold of the time; a time with gold alone is there as well."""
    seen: dict[str, int] = {}
    passed: dict[str, int] = {}
    for moment, right in gold:
        seen[key(moment)] = seen.get(key(moment), 0) + 1
        passed[key(moment)] = passed.get(key(moment), 0) + right
    known = {span.key: span for span in spans}
    return [
        SpanOut(
            key=name,
            n_annotations=span.n_annotations if span else 0,
            n=span.n if span else 0,
            peer_agreement=span.agreement.as_json()
            if span
            else {"value": None, "low": None, "high": None, "reason": NOTHING_THEN},
            gold_seen=seen.get(name, 0),
            gold_passed=passed.get(name, 0),
            median_seconds=span.seconds if span else None,
        )
        for name in sorted({*known, *seen})
        for span in (known.get(name),)
    ]


def _charts(person: PersonOut, told: Series, *, threshold: float) -> dict[str, Any]:
    a, b = PRIOR[0] + person.gold_passed, PRIOR[1] + person.gold_seen - person.gold_passed
    spans = {"n_annotations", "median_seconds"}
    return {
        "beside": _beside(person),
        "posterior": {
            "threshold": threshold,
            "curve": rules.beta_density(a, b),
            "mean": person.gold_posterior.value,
            "low": person.gold_posterior.low,
            "high": person.gold_posterior.high,
        },
        "weeks": {
            "others": person.peer_agreement.others,
            "spans": [span.model_dump(exclude=spans) for span in person.weeks],
        },
        "hours": {
            "others": person.peer_agreement.others,
            "spans": [span.model_dump(exclude=spans) for span in person.by_hour],
        },
        "speed": {"points": told.points, "reading": READING},
        "places": {"places": person.places, "ties": person.no_single_best},
    }


def _beside(person: PersonOut) -> list[dict[str, Any]]:
    """Her shares that can be held against something, and against what."""
    pace = person.pace
    rows: list[tuple[str, str, FigureOut, int, str, float | None]] = [
        ("prefers what others prefer", "peers", person.peer_agreement, 0, "the others", None),
        ("the same when it comes again", "repeats", person.self_consistency, 0, "the others", None),
        ("prefers the first shown", "first", person.position_bias, 0, "fair", CHANCE),
        ("prefers the longer", "longer", person.length_against_others, 0, "the others", None),
        ("answers with a tie", "ties", person.ties_against_others, 0, "the others", None),
        (
            "faster than reading",
            "fast",
            pace.below_reading_speed,
            pace.n,
            "the others",
            pace.others,
        ),
    ]
    return [
        {
            "label": label,
            "short": short,
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "n": n or getattr(figure, "n", 0),
            "beside": beside,
            "others": getattr(figure, "others", others),
        }
        for label, short, figure, n, beside, others in rows
    ]


def _lines(session: Session, crowd: Crowd, told: Series) -> list[LatestLine]:
    lines = task_lines(session, task_ids=[crowd.task_id(each.task) for each in told.latest])
    return [
        LatestLine(lines[task_id], datetime.fromtimestamp(each.submitted, UTC), each)
        for each in told.latest
        if (task_id := crowd.task_id(each.task)) in lines
    ]
