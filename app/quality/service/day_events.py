"""What was changed around a day: by people, and by what gold answers came to say of somebody."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.projects.models import Project
from app.quality.queries import days as queries
from app.quality.queries.days import GoldAnswers
from app.quality.rules import day_story
from app.quality.schemas.days import EventOut
from app.tasks.rules import standing


def day_events(
    session: Session,
    *,
    project: Project,
    since: datetime,
    end: datetime,
    gold: Mapping[UUID, GoldAnswers],
) -> list[EventOut]:
    """From some time before the day until its end, newest first."""
    events = queries.events_between(session, project=project, start=since, end=end)
    found = [*map(_event, events), *_standings(session, project, gold)]
    return sorted(found, key=lambda event: event.at, reverse=True)


def _event(event: queries.Event) -> EventOut:
    return EventOut(
        at=event.at,
        by=event.by,
        what=day_story.event_in_words(event.action, event.target, event.details),
        version=day_story.version_made(event.action, event.details),
        user_id=event.details.get("user_id"),
    )


def _standings(
    session: Session, project: Project, gold: Mapping[UUID, GoldAnswers]
) -> Iterator[EventOut]:
    """The gold answers that changed what they all say of somebody."""
    names = queries.names_of(session, project=project, user_ids=gold)
    for user_id, hers in gold.items():
        seen, passed = hers.seen_before, hers.passed_before
        before = standing(seen=seen, passed=passed, threshold=project.gold_threshold)
        for at, is_right in hers.since:
            seen, passed = seen + 1, passed + is_right
            after = standing(seen=seen, passed=passed, threshold=project.gold_threshold)
            if before != after:
                what = day_story.standing_in_words(
                    names[user_id][0], before=before, after=after, seen=seen, passed=passed
                )
                yield EventOut(at=at, by=None, what=what, user_id=str(user_id))
            before = after
