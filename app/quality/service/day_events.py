"""What was changed around a day: by people, and by what gold answers came to say of somebody."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.projects.models import Project
from app.quality.queries import days as queries
from app.quality.queries.days import GoldOfDay
from app.quality.rules import day_story
from app.quality.schemas.days import EventOut
from app.tasks.rules import standing


def day_events(
    session: Session,
    *,
    project: Project,
    since: datetime,
    end: datetime,
    gold: Mapping[UUID, GoldOfDay],
) -> list[EventOut]:
    """From some time before the day until its end, newest first; standings: on the day."""
    events = queries.events_between(session, project=project, start=since, end=end)
    found = [*map(_event, events), *_standings(session, project, gold)]
    return sorted(found, key=lambda event: event.at, reverse=True)


def _event(event: queries.Event) -> EventOut:
    return EventOut(
        at=event.at,
        by=event.by,
        what=day_story.event_in_words(event.action, event.target, event.details),
        version=day_story.version_made(event.action, event.details),
    )


def _standings(
    session: Session, project: Project, gold: Mapping[UUID, GoldOfDay]
) -> Iterator[EventOut]:
    """Whose gold answers of the day changed what they say of her."""
    names = queries.names_of(session, project=project, user_ids=gold)
    for user_id, hers in gold.items():
        seen, passed = hers.seen_before + hers.seen, hers.passed_before + hers.passed
        before, after = (
            standing(seen=n, passed=right, threshold=project.gold_threshold)
            for n, right in ((hers.seen_before, hers.passed_before), (seen, passed))
        )
        if before != after:
            what = day_story.standing_in_words(
                names[user_id][0], before=before, after=after, seen=seen, passed=passed
            )
            yield EventOut(at=hers.last_at, by=None, what=what, version=None)
