"""Claiming: the one guarded transaction that decides who judges what.

Locks are taken in one order everywhere, so that nobody waits for somebody who waits for her:
membership (one person's claims and submissions happen one by one) → assignment → task. A claim
skips tasks that others hold; when only such are left it tries again, and holds none meanwhile.
"""

from datetime import datetime, timedelta
from random import Random
from time import monotonic, sleep
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import commit_halfway
from app.errors import TooManyRequests
from app.projects.models import Membership, Project
from app.projects.service import ensure_membership
from app.tasks import queries, rules
from app.tasks.models import Assignment, AssignmentState, Task
from app.tasks.service.finishing import give_back

FREED_AT_ONCE = 20  # expired leases that one claim frees on its way
PATIENCE_SECONDS = 5  # of the second look, for tasks that others are just taking
PAUSE_SECONDS = 0.05  # between two tries of it


def lock_member(session: Session, *, project: Project, user: User) -> Membership:
    """Her membership, locked until the transaction ends."""
    mine = (
        select(Membership)
        .where(Membership.project_id == project.id, Membership.user_id == user.id)
        .with_for_update(key_share=True)
    )
    fresh = {"populate_existing": True}
    membership = session.scalar(mine, execution_options=fresh)
    if membership is None:  # an admin of the installation works here for the first time
        ensure_membership(session, project=project, user=user)
        membership = session.scalars(mine, execution_options=fresh).one()
    return membership


def claim(
    session: Session,
    *,
    project: Project,
    user: User,
    now: datetime,
    rng: Random,
    after: Assignment | None = None,
) -> Assignment | None:
    """The task on her screen, or the one to follow `after`; None when there is nothing for her.

    What she holds comes first, so that asking again changes nothing. May commit what the session
    did so far: a submission in the same request stands, whatever comes of the claim.
    """

    def attempt(*, is_last: bool) -> Assignment | None:
        return _attempt(
            session, project=project, user=user, now=now, rng=rng, after=after, is_last=is_last
        )

    assignment = attempt(is_last=False)
    if assignment is not None:
        return assignment
    # Somebody may just be giving back what she could have: look again, more patiently. Our own
    # rows go first, a submitted task and freed leases: others may be waiting for them in turn.
    commit_halfway(session)
    return attempt(is_last=True)


def _attempt(
    session: Session,
    *,
    project: Project,
    user: User,
    now: datetime,
    rng: Random,
    after: Assignment | None,
    is_last: bool,
) -> Assignment | None:
    membership = lock_member(session, project=project, user=user)
    is_paused = membership.paused_at is not None or project.paused_at is not None
    lease = timedelta(minutes=project.lease_minutes)
    held: list[Assignment] = []
    for assignment in queries.open_assignments(session, project=project, user=user):
        if after is not None and assignment.id == after.id:
            held.append(assignment)
        elif not _has_run_out(assignment, now=now):
            return assignment
        elif is_paused:
            held.append(assignment)
        elif _lend_on(session, assignment=assignment, leased_until=now + lease):
            return assignment
    if is_paused or len(held) > 1:
        return None
    chance = rules.gold_chance(
        membership.claimed, rate=project.gold_rate, share=membership.gold_share
    )
    wants_gold = rng.random() < chance
    free_expired(session, project=project, but=user, now=now)
    picked = _pick(session, project=project, user=user, rng=rng, wants_gold=wants_gold)
    if picked is None and is_last:
        picked = _pick_patiently(session, project=project, user=user, rng=rng)
    if picked is None:
        return None
    task_id, size = picked
    membership.claimed += 1
    return _lend(
        session,
        task_id=task_id,
        membership=membership,
        slot=2 if any(assignment.slot == 1 for assignment in held) else 1,
        display_order=rules.shuffled(size, rng=rng),
        leased_until=now + lease,
        now=now,
    )


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


def free_expired(session: Session, *, project: Project, but: User, now: datetime) -> None:
    """End some of other people's leases that have run out; rows that somebody works on wait."""
    gone = session.execute(
        select(Assignment.id, Assignment.task_id)
        .join(Task, Task.id == Assignment.task_id)
        .where(
            Assignment.project_id == project.id,
            queries.IS_OPEN,
            Assignment.leased_until <= now,
            Assignment.user_id != but.id,
        )
        .order_by(Assignment.leased_until)
        .limit(FREED_AT_ONCE)
        .with_for_update(key_share=True, skip_locked=True, of=[Assignment, Task])
    ).all()
    if not gone:
        return
    session.execute(
        update(Assignment)
        .where(Assignment.id.in_([row.id for row in gone]))
        .values(state=AssignmentState.EXPIRED, finished_at=now)
    )
    for row in gone:  # two leases of one task are two steps of its counter
        give_back(session, task_id=row.task_id)


def _pick(
    session: Session, *, project: Project, user: User, rng: Random, wants_gold: bool
) -> tuple[UUID, int] | None:
    """Take a place in a wanted task, or choose a gold one; answers its id and size.

    Gold comes in the place of an ordinary task, never when those have run out, so that the end
    of the work tells nothing.
    """
    ordinary = _wanted(session, project=project, user=user, rng=rng)
    if ordinary is None:
        return None
    if wants_gold:
        gold = _gold(session, project=project, user=user, rng=rng)
        if gold is not None:
            return gold
    session.execute(update(Task).where(Task.id == ordinary[0]).values(leased=Task.leased + 1))
    return ordinary


def _pick_patiently(
    session: Session, *, project: Project, user: User, rng: Random
) -> tuple[UUID, int] | None:
    """The second look: ask again while others are taking the tasks that she could have.

    It holds no row while it waits, and waits for none, so that no two can wait for each other.
    """
    deadline = monotonic() + PATIENCE_SECONDS
    while True:
        in_sight = _wanted(session, project=project, user=user, rng=rng, locks=False)
        if in_sight is None:
            return _gold_alone(session, project=project, user=user, rng=rng)
        picked = _pick(session, project=project, user=user, rng=rng, wants_gold=False)
        if picked is not None:
            return picked
        if monotonic() > deadline:
            raise TooManyRequests(
                "Many people are asking for the last tasks. Ask again in a moment.", retry_after=1
            )
        sleep(rng.uniform(0.5, 1.5) * PAUSE_SECONDS)


def _gold_alone(
    session: Session, *, project: Project, user: User, rng: Random
) -> tuple[UUID, int] | None:
    """In a project of gold alone it is handed out like any other work."""
    if project.gold_rate == 0:
        return None
    ordinary = select(Task.id).where(Task.project_id == project.id, queries.IS_ORDINARY).limit(1)
    if session.scalar(ordinary) is not None:
        return None
    return _gold(session, project=project, user=user, rng=rng)


def _wanted(
    session: Session, *, project: Project, user: User, rng: Random, locks: bool = True
) -> tuple[UUID, int] | None:
    """A wanted task that is new to her, of the highest priority that has one.

    From a fresh random point of the key on, wrapping round: nobody wades through what she has
    judged, and two people rarely want the same row. With `locks`, one that nobody else holds.
    """
    start = rng.random()
    priority: int | None = None
    while True:
        for keys in (Task.random_key >= start, Task.random_key < start):
            wanted = queries.wanted_task(project=project, user=user, priority=priority, keys=keys)
            if locks:
                wanted = wanted.with_for_update(of=Task, key_share=True, skip_locked=True)
            row = session.execute(wanted).one_or_none()
            if row is not None:
                return row.id, row.size
        if priority is None:
            priority = session.scalar(queries.priorities(project=project))
        if priority is not None:
            priority = session.scalar(queries.priorities(project=project, below=priority))
        if priority is None:
            return None


def _gold(
    session: Session, *, project: Project, user: User, rng: Random
) -> tuple[UUID, int] | None:
    """A gold task that is new to her; locked, so that it stays gold until she has it."""
    start = rng.random()
    for keys in (Task.random_key >= start, Task.random_key < start):
        gold = queries.gold_task(project=project, user=user, keys=keys)
        row = session.execute(
            gold.with_for_update(of=Task, read=True, skip_locked=True)
        ).one_or_none()
        if row is not None:
            return row.id, row.size
    return None


def _lend(
    session: Session,
    *,
    task_id: UUID,
    membership: Membership,
    slot: int,
    display_order: list[int],
    leased_until: datetime,
    now: datetime,
) -> Assignment:
    """The assignment row; one whose lease ran out is opened again with its draft and order."""
    opened = {
        "state": AssignmentState.OPEN,
        "slot": slot,
        "ordinal": membership.claimed,
        "leased_until": leased_until,
        "created_at": now,
        "finished_at": None,
    }
    statement = (
        insert(Assignment)
        .values(
            project_id=membership.project_id,
            task_id=task_id,
            user_id=membership.user_id,
            display_order=display_order,
            **opened,
        )
        .on_conflict_do_update(
            index_elements=[Assignment.task_id, Assignment.user_id],
            index_where=text("NOT is_repeat"),
            set_={**opened, "renewals": 0},
            where=Assignment.state == AssignmentState.EXPIRED,
        )
        .returning(Assignment)
    )
    assignment = session.scalars(statement, execution_options={"populate_existing": True}).one()
    assignment.is_new = True
    return assignment
