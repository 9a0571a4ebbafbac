"""Claiming: the one guarded transaction that decides who judges what.

Locks are taken in one order everywhere, so that nobody waits for somebody who waits for her:
membership (one person's claims and submissions happen one by one) → assignment → task. A claim
skips tasks that others hold; when only such are left it tries again, and holds none meanwhile.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from random import Random
from time import monotonic, sleep
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

from sqlalchemy import DateTime, bindparam, literal_column, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import commit_halfway
from app.errors import TooManyRequests
from app.projects.models import Membership, Project
from app.projects.service import ensure_membership
from app.tasks import queries, rules
from app.tasks.models import Assignment, AssignmentState, Contents, Task
from app.tasks.service.finishing import give_back
from app.tasks.service.lending import LEND, LEND_PLANNED
from app.tasks.service.qualifying import ask

FREED_AT_ONCE = 20  # expired leases that one claim frees on its way …
FREES_ONE_IN = 8  # … though not every claim looks for them
PATIENCE_SECONDS = 5  # of the second look, for tasks that others are just taking
PAUSE_SECONDS = 0.05  # between two tries of it

MINE = (
    select(Membership)
    .where(
        Membership.project_id == bindparam("in_project"),
        Membership.user_id == bindparam("person"),
    )
    .with_for_update(key_share=True)
)


RUN_OUT = (
    select(Assignment.id, Assignment.task_id)
    .join(Task, Task.id == Assignment.task_id)
    .where(
        Assignment.project_id == bindparam("in_project"),
        queries.IS_OPEN,
        Assignment.leased_until <= bindparam("now", type_=DateTime(timezone=True)),
        Assignment.user_id != bindparam("person"),
    )
    .order_by(Assignment.leased_until)
    .limit(literal_column(str(FREED_AT_ONCE)))  # written out, for its plan
    .with_for_update(key_share=True, skip_locked=True, of=[Assignment, Task])
)
TOP_PRIORITY = {lanes: queries.top_priority(lanes=lanes) for lanes in (False, True)}
NEXT_PRIORITY = {lanes: queries.top_priority(lanes=lanes, below=True) for lanes in (False, True)}


class Spare(Protocol):
    """Looks whether tasks of a project, of which a place is free again, still want it."""

    def __call__(
        self, session: Session, *, project: Project, task_ids: Collection[UUID]
    ) -> None: ...


def lock_member(session: Session, *, project: Project, user: User) -> Membership:
    """Her membership, locked until the transaction ends."""
    where = {"in_project": project.id, "person": user.id}
    fresh = {"populate_existing": True}
    membership = session.scalar(MINE, where, execution_options=fresh)
    if membership is None:  # an admin of the installation works here for the first time
        ensure_membership(session, project=project, user=user)
        membership = session.scalars(MINE, where, execution_options=fresh).one()
    return membership


def claim(
    session: Session,
    *,
    project: Project,
    user: User,
    now: datetime,
    rng: Random,
    after: Assignment | None = None,
    membership: Membership | None = None,
    holds: Collection[UUID] | None = None,
    spare: Spare | None = None,
) -> Assignment | None:
    """The task on her screen, or the one to follow `after`; None when there is nothing for her.

    What she holds comes first, so that asking again changes nothing. `membership` is hers if it is
    locked already, `holds` what she held at that moment or just before; `spare` looks at tasks of
    which a place is freed on the way, before they are offered. May commit what the session did so
    far: a submission in the same request stands, whatever comes of the claim.
    """

    def attempt(
        membership: Membership | None, held: Sequence[Assignment] | None, *, is_last: bool
    ) -> Assignment | None:
        return _attempt(
            session,
            project=project,
            user=user,
            membership=membership or lock_member(session, project=project, user=user),
            now=now,
            rng=rng,
            after=after,
            held=held,
            spare=spare,
            is_last=is_last,
        )

    held: Sequence[Assignment] | None = None  # not known, to be asked
    if holds is not None and not holds:
        held = []
    elif holds is not None and after is not None and set(holds) == {after.id}:
        held = [after]
    assignment = attempt(membership, held, is_last=False)
    if assignment is not None:
        return assignment
    # Somebody may just be giving back what she could have: look again, more patiently. Our own
    # rows go first, a submitted task and freed leases: others may be waiting for them in turn.
    commit_halfway(session)
    return attempt(None, None, is_last=True)


def _attempt(
    session: Session,
    *,
    project: Project,
    user: User,
    membership: Membership,
    now: datetime,
    rng: Random,
    after: Assignment | None,
    held: Sequence[Assignment] | None,
    spare: Spare | None,
    is_last: bool,
) -> Assignment | None:
    is_paused = membership.paused_at is not None or project.paused_at is not None
    must_qualify = queries.must_qualify(project, user=user, membership=membership)
    lease = timedelta(minutes=project.lease_minutes)
    if held is None:
        held = queries.open_assignments(session, project=project, user=user)
    kept: list[Assignment] = []
    for assignment in held:
        if after is not None and assignment.id == after.id:
            kept.append(assignment)
        elif (assignment.attempt_id is not None) != must_qualify:  # that has changed meanwhile
            place = assignment.id, assignment.task_id
            _free(session, project=project, places=[place], now=now, spare=spare)
        elif not _has_run_out(assignment, now=now):
            return assignment
        elif is_paused:
            kept.append(assignment)
        elif _lend_on(session, assignment=assignment, leased_until=now + lease):
            return assignment
    is_question = any(each.attempt_id is not None for each in kept)  # feedback comes before more
    if is_paused or len(kept) > 1 or is_question or (kept and must_qualify):
        return None
    if not must_qualify and queries.limit_reached(
        session, project=project, membership=membership, held=len(kept), now=now
    ):
        return None
    if kept and not queries.leaves_enough(session, project=project, membership=membership):
        return None  # the last tasks go to those who wait for one
    if must_qualify:
        return ask(session, project=project, user=user, membership=membership, now=now, rng=rng)
    if is_last or rng.randrange(FREES_ONE_IN) == 0:
        freed = FREED_AT_ONCE
        while freed == FREED_AT_ONCE:
            freed = free_expired(session, project=project, but=user, now=now, spare=spare)
            if not is_last:  # else there may be one for her behind those that are not
                break
    chance = rules.gold_chance(
        membership.claimed, rate=project.gold_rate, share=membership.gold_share
    )
    wants_gold = rng.random() < chance
    wants_re_ask = not wants_gold and _draws_re_ask(membership, rng=rng)
    wants_repeat = not (wants_gold or wants_re_ask) and _draws_repeat(project, membership, rng=rng)
    given = {
        "in_project": project.id,
        "person": user.id,
        **queries.skills(membership),
        "repeat_distance": (
            rules.repeat_distance(membership.claimed, rng=rng) if wants_repeat else 0
        ),
        "new_id": uuid4(),
        "kept": [each.id for each in kept],
        "to_slot": 2 if any(each.slot == 1 for each in kept) else 1,
        "until": now + lease,
        "now": now,
    }
    lent = _lend(
        session,
        given,
        rng=rng,
        lanes=is_last or queries.has_lanes(session, project=project),
        due=bool(project.gold_rate or membership.gold_share or project.repeat_rate),
        planned=membership.re_asks > 0,
        wants_gold=wants_gold,
        wants_re_ask=wants_re_ask,
        wants_repeat=wants_repeat,
    )
    if lent is None and is_last:
        lent = _lend_patiently(
            session, given, project=project, user=user, membership=membership, rng=rng
        )
    if lent is not None:
        session.expire(membership, ["claimed", "re_asks"])
        lent.is_new = True
    return lent


def _draws_re_ask(membership: Membership, *, rng: Random) -> bool:
    chance = rules.re_ask_chance(membership.claimed, waiting=membership.re_asks)
    return chance > 0 and rng.random() < chance


def _draws_repeat(project: Project, membership: Membership, *, rng: Random) -> bool:
    chance = rules.repeat_chance(membership.claimed, rate=project.repeat_rate)
    return chance > 0 and rng.random() < chance


def _has_run_out(assignment: Assignment, *, now: datetime) -> bool:
    assert assignment.leased_until is not None  # open_has_a_lease
    return rules.is_expired(assignment.leased_until, now=now)


def _lend_on(session: Session, *, assignment: Assignment, leased_until: datetime) -> bool:
    """Lend her again what she still holds though its time is over; False if it was just freed."""
    lent = session.scalar(
        update(Assignment)
        .where(Assignment.id == assignment.id, Assignment.state == AssignmentState.OPEN)
        .values(leased_until=leased_until)
        .returning(Assignment),
        execution_options={"populate_existing": True},
    )
    return lent is not None


def free_expired(
    session: Session, *, project: Project, but: User, now: datetime, spare: Spare | None = None
) -> int:
    """End some of other people's leases that have run out; rows that somebody works on wait."""
    given = {"in_project": project.id, "person": but.id, "now": now}
    found = session.execute(RUN_OUT, given).all()
    _free(session, project=project, places=found, now=now, spare=spare)
    return len(found)


def _free(
    session: Session,
    *,
    project: Project,
    places: Sequence[tuple[UUID, UUID]],
    now: datetime,
    spare: Spare | None,
) -> None:
    """Give back the tasks of these assignments; `places` are ids of both."""
    for assignment_id, _ in places:
        give_back(session, assignment_id=assignment_id, now=now)
    if places and spare is not None:
        spare(session, project=project, task_ids=[task_id for _, task_id in places])


def _lend(
    session: Session,
    given: dict[str, Any],
    *,
    rng: Random,
    lanes: bool = True,
    due: bool = True,
    planned: bool = False,
    **wants: bool,
) -> Assignment | None:
    """Take a place in a task and lend it to her; `wants` says what is due, or allowed.

    From a fresh random point of the key on, wrapping round: nobody wades through what she has
    judged, and two people rarely want the same row.
    """
    start = rng.random()
    where = given | {
        **wants,
        "gold_key": start,
        "places": rules.shuffled(rules.MOST_RESPONSES, rng=rng),
    }
    priority: int | None = None
    while True:
        for low, high in ((start, 1.0), (0.0, start)):
            stretch = {"level": priority, "from_key": low, "to_key": high}
            lent = session.execute(
                LEND_PLANNED[lanes] if planned else LEND[lanes, due],
                where | stretch,
                execution_options={"populate_existing": True},
            ).one_or_none()
            if lent is not None:
                assignment, *shown = lent
                assert assignment is not None  # the task was new to her
                assignment.contents = Contents(*shown)
                return cast(Assignment, assignment)
        if priority is None:
            priority = session.scalar(TOP_PRIORITY[lanes], where)
        if priority is not None:
            priority = session.scalar(NEXT_PRIORITY[lanes], where | {"below": priority})
        if priority is None:
            return None


def _lend_patiently(
    session: Session,
    given: dict[str, Any],
    *,
    project: Project,
    user: User,
    membership: Membership,
    rng: Random,
) -> Assignment | None:
    """The second look: ask again while others are taking the tasks that she could have.

    It holds no row while it waits, and waits for none, so that no two can wait for each other.
    """
    deadline = monotonic() + PATIENCE_SECONDS
    while True:
        nothing = queries.why_nothing(session, project=project, user=user)
        if nothing is not None:
            return None
        if queries.only_re_asked(session, project=project, user=user, membership=membership):
            again = {"wants_re_ask": True, "nothing_else": True}
            lent = _lend(session, given, rng=rng, planned=True, **again)
        else:
            # In a project of gold alone it is handed out like any other work.
            gold_alone = session.scalar(queries.AN_ORDINARY_TASK, given) is None
            lent = _lend(session, given, rng=rng, gold_alone=gold_alone)
        if lent is not None:
            return lent
        if monotonic() > deadline:
            raise TooManyRequests(
                "Many people are asking for the last tasks. Ask again in a moment.", retry_after=1
            )
        sleep(rng.uniform(0.5, 1.5) * PAUSE_SECONDS)
