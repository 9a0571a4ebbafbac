"""A person's own progress: what she did, how fast, and how far others see it as she does."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.schemas import SKIP_REASONS
from app.projects.models import Membership, Project
from app.quality.queries import progress as queries
from app.quality.rules import progress as rules
from app.quality.schemas.people import ProgressDay, ProgressOut, ProgressPart, ProgressWeek


def progress_of(session: Session, *, project: Project, user: User, now: datetime) -> ProgressOut:
    today, monday = rules.day_of(now), rules.week_of(now)
    skips = queries.skips_of(session, project=project, user=user)

    def part(since: datetime | None) -> ProgressPart:
        work = queries.work_since(session, project=project, user=user, since=since)
        return ProgressPart(
            done=work.done,
            skipped=sum(since is None or moment >= since for moment, _ in skips),
            seconds=round(work.seconds),
            median_seconds=work.median_seconds,
            tie_share=work.ties / work.done if work.done else None,
        )

    membership = session.get(Membership, (project.id, user.id))
    is_paused = membership is not None and membership.paused_at is not None
    return ProgressOut(
        project_id=str(project.id),
        today=part(today),
        week=part(monday),
        all=part(None),
        skip_reasons={
            meaning: count
            for reason, meaning in SKIP_REASONS.items()
            if (count := sum(given is reason for _, given in skips))
        },
        days=_days(session, project=project, user=user, now=now),
        weeks=_weeks(session, project=project, user=user, now=now),
        paused=is_paused,
        pause_reason=membership.pause_reason if membership and is_paused else None,
    )


def _days(session: Session, *, project: Project, user: User, now: datetime) -> list[ProgressDay]:
    days = rules.last_days(now)
    since = rules.day_of(now) - timedelta(days=len(days) - 1)
    work = queries.work_by_day(session, project=project, user=user, since=since)
    nothing = queries.Work()
    return [
        ProgressDay(
            day=day,
            done=work.get(day, nothing).done,
            seconds=round(work.get(day, nothing).seconds),
            median_seconds=work.get(day, nothing).median_seconds,
        )
        for day in days
    ]


def _weeks(session: Session, *, project: Project, user: User, now: datetime) -> list[ProgressWeek]:
    mondays = rules.full_weeks(now)
    shared = queries.shared_judgements(
        session, project=project, user=user, since=mondays[-1], until=rules.week_of(now)
    )
    agreement = rules.weekly_agreement(shared)
    weeks = []
    for monday in mondays:
        tasks, likeness = agreement.get(monday, (0, 0.0))
        is_enough = tasks >= rules.FEWEST_TASKS
        reason = None if is_enough else f"{tasks} of at least {rules.FEWEST_TASKS} tasks"
        weeks.append(
            ProgressWeek(
                monday=monday.date(),
                tasks=tasks,
                agreement=likeness if is_enough else None,
                reason=reason,
            )
        )
    return weeks
