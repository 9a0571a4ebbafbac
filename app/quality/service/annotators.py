"""One row per person, from kept figures and from what a claim decides by."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from app.accounts.models import Role
from app.projects.models import Project
from app.quality.queries import people as queries
from app.quality.queries.people import Person
from app.quality.rules.findings import Evidence, findings_of
from app.quality.rules.health import nothing_known
from app.quality.rules.intervals import beta_figure, share_figure
from app.quality.schemas.people import AnnotatorOut, FindingOut
from app.quality.service.summary import View
from app.tasks.rules import PRIOR, beta_cdf

NO_GOLD = "No gold question has been answered."


def annotators(
    session: Session, *, project: Project, view: View, everybody: bool = False
) -> list[AnnotatorOut]:
    """Everybody who annotates or has judged something, by name; `everybody`: all members."""
    figures: dict[str, dict[str, Any]] = {row["user_id"]: row for row in view.figures["annotators"]}
    people = [
        person
        for person in queries.people_of(session, project=project)
        if everybody
        or person.role is Role.ANNOTATOR
        or str(person.user_id) in figures
        or person.gold_seen
    ]
    gold = [_gold(person, threshold=project.gold_threshold) for person in people]
    known = [figures.get(str(person.user_id), nothing_known()) for person in people]
    found = findings_of(
        [
            Evidence(
                figures=row,
                standing=person.standing,
                gold_seen=person.gold_seen,
                gold_passed=person.gold_passed,
                gold_low=answers["gold_accuracy"]["low"],
                threshold=project.gold_threshold,
            )
            for person, row, answers in zip(people, known, gold, strict=True)
        ]
    )
    return [
        AnnotatorOut(
            user_id=str(person.user_id),
            name=person.name,
            kind=person.kind,
            role=person.role,
            standing=person.standing,
            paused_at=person.paused_at,
            findings=[
                FindingOut(kind=each.kind, level=each.level.value, text=each.text)
                for each in findings
            ],
            **answers,
            **_health(row),
        )
        for person, row, answers, findings in zip(people, known, gold, found, strict=True)
    ]


def _health(row: dict[str, Any]) -> dict[str, Any]:
    latest = row["last_submitted"]
    return {
        **{key: value for key, value in row.items() if key not in {"user_id", "last_submitted"}},
        "last_submitted_at": None if latest is None else datetime.fromtimestamp(latest, UTC),
    }


def _gold(person: Person, *, threshold: float) -> dict[str, Any]:
    seen, passed = person.gold_seen, person.gold_passed
    a, b = PRIOR[0] + passed, PRIOR[1] + seen - passed
    posterior = beta_figure(a, b) if seen else share_figure(0, 0, none=NO_GOLD)
    return {
        "gold_seen": seen,
        "gold_passed": passed,
        "gold_accuracy": share_figure(passed, seen, none=NO_GOLD).as_json(),
        "gold_posterior": posterior.as_json(),
        "p_below_threshold": round(float(beta_cdf(threshold, a, b)), 6) if seen else None,
    }
