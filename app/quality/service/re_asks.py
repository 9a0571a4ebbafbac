"""Asking the same people again after a change of the guidelines, without their knowing."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from random import Random, SystemRandom
from statistics import median
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.errors import Conflict, Invalid, found
from app.projects import service as projects
from app.projects.models import Membership, Project
from app.projects.queries import guidelines_of
from app.quality.queries import re_asks as queries
from app.quality.rules import flips as rules
from app.tasks.models import AssignmentState, ReAsk, ReAskPair, TaskKind

ONE_VERSION = (
    "There is one version of the guidelines so far. When they have changed, the same people can "
    "judge a sample again, and you see what the change did."
)
CHANCE = SystemRandom()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a re-ask would do; `reason`: why there can be none."""

    from_version: int
    to_version: int
    pairs: list[tuple[UUID, UUID]]
    eligible: int
    minutes: float | None
    reason: str | None = None
    warning: str | None = None

    @property
    def people(self) -> int:
        return len({person for _, person in self.pairs})

    @property
    def sentence(self) -> str:
        """What will happen: tasks, people, and about how long it takes them."""
        if self.reason:
            return self.reason
        tasks, people = len(self.pairs), self.people
        work = f", about {max(1, round(self.minutes))} minutes of work" if self.minutes else ""
        most = max(Counter(person for _, person in self.pairs).values())
        return (
            f"{tasks} {'task' if tasks == 1 else 'tasks'} that {people} "
            f"{'person' if people == 1 else 'people'} judged under version {self.from_version} "
            f"{'comes' if tasks == 1 else 'come'} again{work}, at most {most} for one person. They "
            "are handed out among other tasks, over the next days, and look like any other."
        )


def plan(
    session: Session,
    *,
    project: Project,
    from_version: int | None = None,
    size: int | None = None,
    share: float | None = None,
    rng: Random = CHANCE,
) -> Plan:
    """The sample that would be drawn now, and what it asks of people."""
    to = project.guidelines_version
    if to == 1:
        return Plan(1, 1, [], 0, None, reason=ONE_VERSION)
    judged = queries.versions_judged(session, project=project)
    earlier = [version for version in judged if version < to]
    if not earlier:
        return Plan(to - 1, to, [], 0, None, reason="Nothing was judged under an earlier version.")
    start = max(earlier) if from_version is None else from_version
    if not 1 <= start < to:
        raise Invalid(f"Choose a version before the current one, which is {to}.")
    people, eligible = queries.candidates(
        session,
        project=project,
        version=start,
        judged=judged.get(start, 0),
        # Some more than are wanted: two people may be drawn for the same task.
        most=rules.LARGEST_SIZE if share else (size or rules.DEFAULT_SIZE) + 50,
    )
    if not eligible:
        return Plan(start, to, [], 0, None, reason=_why_nobody(judged.get(start, 0), start))
    wanted = max(1, round(share * eligible)) if share else size or rules.DEFAULT_SIZE
    pairs = rules.sample(
        [(each.task_id, each.user_id) for each in people],
        size=min(wanted, rules.LARGEST_SIZE),
        rng=rng,
    )
    seconds = [each.seconds for each in people if each.seconds]
    minutes = len(pairs) * median(seconds) / 60 if seconds else None
    return Plan(start, to, pairs, eligible, minutes, warning=_warning(len(pairs), wanted))


def _why_nobody(judged: int, version: int) -> str:
    if not judged:
        return f"Nothing was judged under version {version}. Choose another one."
    return (
        f"None of the {judged:,} judgements under version {version} can come again: whoever made "
        "them does not sign in here, is paused or has left, or has seen the task twice already. "
        "Choose another version, or let somebody go on."
    )


def _warning(number: int, wanted: int) -> str | None:
    if number < rules.FEWEST_USEFUL:
        return (
            f"With {number} {'task' if number == 1 else 'tasks'} only a very large change can be "
            f"told from chance; {rules.FEWEST_USEFUL} or more tell more."
        )
    if number < wanted:
        return f"There are only {number} tasks that can come again, not {wanted}."
    return None


def start(
    session: Session,
    *,
    project: Project,
    by: User,
    now: datetime,
    from_version: int | None = None,
    size: int | None = None,
    share: float | None = None,
    rng: Random = CHANCE,
) -> ReAsk:
    """Draw the sample; its tasks come with the people's next claims, one by one.

    Raises `Conflict` while another one runs, `Invalid` where nothing can come again.
    """
    projects.lock(session, project)
    running = next((each for each in progress_of_all(session, project=project) if each.waits), None)
    if running is not None:
        raise Conflict(
            f"A sample is being re-asked already: {running.judged} of {running.re_ask.size} are "
            "in. Wait until it is done, or cancel it."
        )
    planned = plan(
        session, project=project, from_version=from_version, size=size, share=share, rng=rng
    )
    if planned.reason:
        raise Invalid(planned.reason)
    re_ask = ReAsk(
        project_id=project.id,
        from_version=planned.from_version,
        to_version=planned.to_version,
        needed=found(guidelines_of(session, project=project)).needed,
        size=len(planned.pairs),
        created_by=by.id,
        created_at=now,
    )
    session.add(re_ask)
    session.flush()  # its pairs refer to it
    session.execute(
        insert(ReAskPair),
        [
            {"re_ask_id": re_ask.id, "task_id": task, "user_id": person}
            for task, person in planned.pairs
        ],
    )
    _count_anew(session, project=project, user_ids={person for _, person in planned.pairs})
    audit(
        session,
        user=by,
        action="guidelines.re_ask",
        target=f"version {planned.from_version} to {planned.to_version}",
        project_id=project.id,
        tasks=len(planned.pairs),
        people=planned.people,
    )
    return re_ask


def cancel(session: Session, *, project: Project, re_ask: ReAsk, by: User, now: datetime) -> None:
    """What waits does not come any more; what is in stays. Twice is once."""
    cancelled = session.scalar(
        update(ReAsk)
        .where(ReAsk.id == re_ask.id, ReAsk.cancelled_at.is_(None))
        .values(cancelled_at=now)
        .returning(ReAsk.id)
    )
    if cancelled is None:
        return
    waiting = [
        (line.task_id, line.user_id)
        for line in queries.lines_of(session, re_ask=re_ask)
        if line.state is None
    ]
    for task_id, user_id in waiting:
        session.execute(
            delete(ReAskPair).where(ReAskPair.task_id == task_id, ReAskPair.user_id == user_id)
        )
    _count_anew(session, project=project, user_ids={user_id for _, user_id in waiting})
    audit(
        session,
        user=by,
        action="guidelines.re_ask.cancel",
        target=f"version {re_ask.from_version} to {re_ask.to_version}",
        project_id=project.id,
        never_asked=len(waiting),
    )


def _count_anew(session: Session, *, project: Project, user_ids: set[UUID]) -> None:
    """How many wait for each of them, for her claims to see; locked in one order."""
    waiting = (
        select(func.count())
        .select_from(ReAskPair)
        .join(ReAsk, ReAsk.id == ReAskPair.re_ask_id)
        .where(
            ReAsk.project_id == project.id,
            ReAsk.cancelled_at.is_(None),
            ReAskPair.user_id == Membership.user_id,
        )
        .correlate(Membership)
        .scalar_subquery()
    )
    for user_id in sorted(user_ids):
        session.execute(
            update(Membership)
            .where(Membership.project_id == project.id, Membership.user_id == user_id)
            .values(re_asks=waiting)
        )


# -- what came of it


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a re-ask is.

    `away`: of people who are paused or have left, who keep nothing open; should they go on, theirs
    come as well. `lost`: skipped, given back, or judged by old guidelines. `waits_for`: (id, name,
    number), of what waits or is open.
    """

    re_ask: ReAsk
    waiting: int
    open: int
    judged: int
    away: int
    lost: int
    waits_for: list[tuple[UUID, str, int]]

    @property
    def waits(self) -> bool:
        return self.re_ask.cancelled_at is None and self.waiting + self.open > 0

    @property
    def state(self) -> str:
        if self.re_ask.cancelled_at is not None:
            return "cancelled"
        return "running" if self.waits else "succeeded"


def _progress(re_ask: ReAsk, lines: list[queries.Line]) -> Progress:
    judged = sum(line.counts for line in lines)
    left = [line for line in lines if _is_left(line)]
    here = [line for line in left if line.is_here]
    held = sum(line.state is AssignmentState.OPEN for line in here)
    people = Counter((line.user_id, line.name) for line in here)
    return Progress(
        re_ask,
        waiting=len(here) - held,
        open=held,
        judged=judged,
        away=len(left) - len(here),
        lost=len(lines) - judged - len(left),
        waits_for=[(*person, number) for person, number in people.most_common()],
    )


def _is_left(line: queries.Line) -> bool:
    """Whether it may still be judged again."""
    if line.state is None:
        return line.kind is TaskKind.ORDINARY and not line.is_closed
    return line.state is AssignmentState.OPEN


def progress_of_all(session: Session, *, project: Project) -> list[Progress]:
    """Of every re-ask, newest first."""
    return [
        _progress(re_ask, queries.lines_of(session, re_ask=re_ask))
        for re_ask in queries.re_asks_of(session, project=project)
    ]


@dataclass(frozen=True, slots=True)
class Report:
    """What changed in the sample, against what people change anyway."""

    progress: Progress
    lines: list[queries.Line]
    found: rules.Rate
    base: rules.Rate
    comparison: rules.Comparison
    directions: dict[rules.Direction, int]
    sentence: str

    @property
    def flipped(self) -> list[queries.Line]:
        """Lines whose judgement changed, those that changed most first."""
        changed = [line for line in self.lines if line.counts and look_of(line).flips]
        return sorted(changed, key=lambda line: -_share(look_of(line)))

    def figures(self) -> dict[str, Any]:
        return rules.as_json(self.found, self.base, self.comparison)


def look_of(line: queries.Line) -> rules.Look:
    return rules.Look(line.task_id, line.before, line.after or ())


def _share(look: rules.Look) -> float:
    return sum(look.flips.values()) / look.n_pairs


def report(session: Session, *, project: Project, re_ask: ReAsk) -> Report:
    lines = queries.lines_of(session, re_ask=re_ask)
    looks = [look_of(line) for line in lines if line.counts]
    changed = rules.rate(looks)
    base = rules.rate(queries.silent_repeats(session, project=project))
    comparison = rules.compare(changed, base)
    return Report(
        progress=_progress(re_ask, lines),
        lines=lines,
        found=changed,
        base=base,
        comparison=comparison,
        directions=rules.directions(looks),
        sentence=rules.in_a_sentence(changed, base, comparison),
    )
