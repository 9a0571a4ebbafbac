"""One row per person, from kept figures and from what a claim decides by."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts.models import Role
from app.projects.models import Project
from app.quality.queries import people as queries
from app.quality.queries.people import Person
from app.quality.rules.health import nothing_known
from app.quality.rules.intervals import beta_figure, share_figure
from app.quality.schemas.people import AnnotatorOut
from app.quality.service.summary import View
from app.tasks.rules import PRIOR, beta_cdf

NO_GOLD = "No gold question has been answered."


def annotators(session: Session, *, project: Project, view: View) -> list[AnnotatorOut]:
    """Everybody who annotates or has judged something, by name."""
    figures: dict[str, dict[str, Any]] = {row["user_id"]: row for row in view.figures["annotators"]}
    return [
        AnnotatorOut(
            user_id=str(person.user_id),
            name=person.name,
            kind=person.kind,
            role=person.role,
            standing=person.standing,
            paused_at=person.paused_at,
            **_gold(person, threshold=project.gold_threshold),
            **_health(figures, person.user_id),
        )
        for person in queries.people_of(session, project=project)
        if person.role is Role.ANNOTATOR or str(person.user_id) in figures or person.gold_seen
    ]


def _health(figures: dict[str, dict[str, Any]], user_id: UUID) -> dict[str, Any]:
    row = figures.get(str(user_id), nothing_known())
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
