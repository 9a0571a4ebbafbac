"""Who gets which task: one at a time, wanted ones, never twice, the urgent ones first."""

import re
from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, select, text

from app.accounts.models import Role
from app.db import database_now, transaction
from app.errors import Conflict
from app.projects.models import Membership
from app.tasks import queries, service
from app.tasks.models import Assignment, AssignmentState, GoldKey, SkipReason, Task
from app.tasks.schemas import Nothing
from app.tasks.service.claiming import FREED_AT_ONCE
from app.tasks.service.lending import take
from tests.factories import (
    make_many_judged,
    make_many_tasks,
    make_member,
    make_project,
    make_task,
    make_user,
)


@pytest.fixture
def claim(session, project):
    rng = Random(7)

    def claim_for(user, *, after=None, later=timedelta()):
        now = database_now(session) + later
        return service.claim(session, project=project, user=user, now=now, rng=rng, after=after)

    return claim_for


def hand_in(session, assignment):
    return service.complete(session, assignment=assignment, now=database_now(session))


def counters(session, task):
    session.refresh(task)
    return task.leased, task.counted, task.wanted


def test_asking_again_gives_the_same_task(session, project, ana, claim):
    for number in range(5):
        make_task(session, project, prompt=f"p{number}")
    first = claim(ana)
    assert claim(ana) is first
    assert session.scalar(select(func.count()).where(Assignment.user_id == ana.id)) == 1


def test_the_one_after_is_another_and_there_are_never_three(session, project, ana, claim):
    for number in range(5):
        make_task(session, project, prompt=f"p{number}")
    first = claim(ana)
    second = claim(ana, after=first)
    assert second.task_id != first.task_id
    assert claim(ana, after=first) is second
    assert claim(ana, after=second) is first
    assert claim(ana) is first

    hand_in(session, first)
    assert claim(ana) is second  # the prefetched one is on her screen now
    third = claim(ana, after=second)
    assert third.task_id not in {first.task_id, second.task_id}
    assert claim(ana) is second  # and stays there, though the third has the other slot


def test_nothing_is_held_in_advance_of_what_others_need(session, project, ana, claim):
    """Two tasks and two people: each has one, nobody waits for the other's next one."""
    ben = make_user(session, "Ben")
    make_member(session, project, ben, Role.ANNOTATOR)
    his = session.get_one(Membership, (project.id, ben.id))
    for number in range(2):
        make_task(session, project, prompt=f"p{number}")
    first = claim(ana)
    assert claim(ana, after=first) is None
    his.paused_at = database_now(session)
    ahead = claim(ana, after=first)
    assert ahead is not None  # he can do nothing with it
    service.release(session, assignment=ahead, now=database_now(session))
    his.paused_at = None
    assert claim(ben).task_id != first.task_id


def test_a_task_with_a_place_for_everybody_is_fetched_ahead(session, project, ana, claim):
    make_member(session, project, make_user(session, "Ben"), Role.ANNOTATOR)
    make_task(session, project, prompt="first", priority=9)
    make_task(session, project, prompt="second", wanted=2)
    first = claim(ana)
    assert claim(ana, after=first) is not None


def test_a_claim_that_knows_less_than_she_holds_takes_nothing(session, project, ana, claim):
    """She may have got a task while this claim waited for its turn."""
    for number in range(3):
        make_task(session, project, prompt=f"p{number}")
    first = claim(ana)
    now = database_now(session)
    again = service.claim(session, project=project, user=ana, now=now, rng=Random(1), holds=())
    assert again is first
    ahead = claim(ana, after=first)
    options = {"after": first, "holds": [first.id]}
    again = service.claim(session, project=project, user=ana, now=now, rng=Random(1), **options)
    assert again is ahead


def test_a_task_is_lent_to_as_many_as_are_wanted(session, project, ana, rui, ada, claim):
    task = make_task(session, project, wanted=2)
    assert claim(ana).task_id == task.id
    assert claim(rui).task_id == task.id
    assert claim(ada) is None
    assert counters(session, task) == (2, 0, 2)


def test_nobody_gets_what_she_has_judged_or_skipped(session, project, ana, claim):
    judged = make_task(session, project, prompt="a", wanted=5)
    skipped = make_task(session, project, prompt="b", wanted=5)
    for _ in range(2):
        assignment = claim(ana)
        if assignment.task_id == judged.id:
            hand_in(session, assignment)
        else:
            service.skip(
                session,
                assignment=assignment,
                reason=SkipReason.LANGUAGE,
                note=None,
                now=database_now(session),
            )
    assert claim(ana) is None
    assert counters(session, judged) == (0, 1, 5)
    assert counters(session, skipped) == (0, 0, 5)


def test_what_she_gave_back_can_come_again_with_its_draft_and_order(session, project, ana, claim):
    task = make_task(session, project, responses=["a", "b", "c", "d"])
    assignment = claim(ana)
    assignment.draft, order = {"rationale": "so far"}, list(assignment.display_order)
    service.release(session, assignment=assignment, now=database_now(session))
    service.release(session, assignment=assignment, now=database_now(session))  # twice is once
    assert counters(session, task) == (0, 0, 1)

    again = claim(ana)
    assert again.id == assignment.id
    assert (again.draft, again.display_order) == ({"rationale": "so far"}, order)
    assert again.state is AssignmentState.OPEN
    assert counters(session, task) == (1, 0, 1)


def test_urgent_tasks_come_first(session, project, ana, claim):
    for number in range(6):
        make_task(session, project, prompt=f"later {number}")
    urgent = {
        make_task(session, project, prompt=f"urgent {number}", priority=5).id for number in range(2)
    }
    given = []
    for _ in range(3):
        assignment = claim(ana)
        given.append(assignment.task_id)
        hand_in(session, assignment)
    assert set(given[:2]) == urgent
    assert given[2] not in urgent


def test_tasks_come_in_an_order_of_their_own_for_everybody(session, project, claim):
    for number in range(12):  # evenly spread: by chance one of them could stand for most
        make_task(session, project, prompt=f"p{number}", wanted=30, random_key=number / 12)
    firsts = Counter()
    for number in range(30):
        user = make_user(session, f"Person {number}")
        make_member(session, project, user, Role.ANNOTATOR)
        firsts[claim(user).task_id] += 1
    assert len(firsts) >= 6


def test_an_expired_lease_goes_to_somebody_else(session, project, ana, rui, claim):
    task = make_task(session, project)
    lost = claim(ana)
    assert claim(rui, later=timedelta(minutes=29)) is None
    taken = claim(rui, later=timedelta(minutes=31))
    session.refresh(lost)
    assert (taken.task_id, lost.state) == (task.id, AssignmentState.EXPIRED)
    assert counters(session, task) == (1, 0, 1)
    assert claim(ana, later=timedelta(minutes=32)) is None


def test_many_expired_leases_do_not_hide_the_one_that_is_for_her(session, project, ana, claim):
    """She has passed on the tasks of all leases but the last that ran out."""
    made = [make_task(session, project, prompt=f"p{number}") for number in range(FREED_AT_ONCE + 1)]
    now = database_now(session)
    for number, task in enumerate(made):
        user = make_user(session, f"P{number}")
        until = now + timedelta(minutes=number)
        session.add(
            Assignment(
                project_id=project.id,
                task_id=task.id,
                user_id=user.id,
                display_order=[0, 1],
                leased_until=until,
            )
        )
        task.leased = 1
        if task is not made[-1]:
            session.add(
                Assignment(
                    project_id=project.id,
                    task_id=task.id,
                    user_id=ana.id,
                    state=AssignmentState.SKIPPED,
                    skip_reason=SkipReason.OTHER,
                    display_order=[0, 1],
                    finished_at=now,
                )
            )
    session.flush()
    assert claim(ana, later=timedelta(hours=1)).task_id == made[-1].id


def test_an_expired_lease_that_nobody_took_is_hers_again(session, project, ana, claim):
    make_task(session, project)
    held = claim(ana)
    later = timedelta(hours=5)
    assert claim(ana, later=later) is held
    assert held.leased_until > database_now(session) + later


@pytest.mark.parametrize("who", ["project", "person"])
def test_a_pause_takes_effect_at_the_next_claim(session, project, ana, claim, who):
    for number in range(3):
        make_task(session, project, prompt=f"p{number}")
    held = claim(ana)
    paused = project if who == "project" else session.get(Membership, (project.id, ana.id))
    paused.paused_at = database_now(session)
    session.flush()

    assert claim(ana) is held  # what is on her screen she may finish
    assert claim(ana, after=held) is None
    hand_in(session, held)
    assert claim(ana) is None
    reason = {"project": Nothing.PROJECT_PAUSED, "person": Nothing.PAUSED}[who]
    assert queries.why_nothing(session, project=project, user=ana) is reason


def test_the_reasons_for_nothing(session, project, ana, rui, claim):
    assert claim(ana) is None
    assert queries.why_nothing(session, project=project, user=ana) is Nothing.NO_TASKS
    make_task(session, project, wanted=2)
    hand_in(session, claim(ana))
    assert queries.why_nothing(session, project=project, user=ana) is Nothing.NONE_FOR_YOU
    held = claim(rui)
    assert queries.why_nothing(session, project=project, user=ana) is Nothing.NONE_FOR_YOU
    hand_in(session, held)
    assert queries.why_nothing(session, project=project, user=ana) is Nothing.FINISHED


def test_an_admin_of_the_installation_works_without_having_been_invited(session, project, claim):
    olga = make_user(session, "Olga", role=Role.ADMIN)
    make_task(session, project)
    assert claim(olga) is not None
    assert session.get(Membership, (project.id, olga.id)).role is Role.ADMIN


def test_a_project_of_gold_alone_hands_it_out(session, project, ana, claim):
    project.gold_rate = 0.1
    only = make_task(session, project, prefers=[[0, 1]])
    assert claim(ana).task_id == only.id


class TestGold:
    @pytest.fixture(autouse=True)
    def gold_project(self, session, project):
        project.gold_rate = 0.5
        for number in range(40):
            make_task(session, project, prompt=f"p{number}", wanted=9)
        self.gold = {
            make_task(session, project, prompt=f"g{number}", prefers=[[0, 1]]).id
            for number in range(10)
        }
        session.flush()
        return project

    def work(self, session, claim, user):
        given = []
        while (assignment := claim(user)) is not None:
            given.append(assignment.task_id)
            hand_in(session, assignment)
        return given

    def test_each_gold_comes_at_most_once_among_ordinary_tasks(self, session, ana, claim):
        given = self.work(session, claim, ana)
        assert len(given) == len(set(given))
        assert self.gold <= set(given)
        assert len(given) == 50

    def test_its_places_differ_from_person_to_person(self, session, ana, rui, claim):
        of_ana = [task in self.gold for task in self.work(session, claim, ana)]
        of_rui = [task in self.gold for task in self.work(session, claim, rui)]
        assert of_ana != of_rui

    def test_it_never_comes_alone_at_the_end(self, session, gold_project, ana, claim):
        session.query(Task).filter(Task.project_id == gold_project.id, Task.wanted == 9).update(
            {"wanted": 1, "counted": 1}
        )
        assert claim(ana) is None

    def test_gold_that_was_suspended_is_not_handed_out(self, session, ana, claim):
        for key in session.scalars(select(GoldKey).where(GoldKey.task_id.in_(self.gold))):
            key.suspended_at = database_now(session)
        session.flush()
        assert not self.gold & set(self.work(session, claim, ana))

    def test_without_a_gold_rate_there_is_none(self, session, gold_project, ana, claim):
        gold_project.gold_rate = 0
        session.flush()
        assert not self.gold & set(self.work(session, claim, ana))


class TestLeases:
    def test_they_can_be_prolonged_many_times_then_a_sentence_says_what_to_do(
        self, session, project, ana, claim
    ):
        make_task(session, project)
        held = claim(ana)
        now = database_now(session)
        for number in range(1, 21):
            later = now + timedelta(minutes=20 * number)
            held = service.renew(session, assignment=held, project=project, now=later)
            assert held.leased_until == later + timedelta(minutes=30)
        with pytest.raises(Conflict, match="prolonged 20 times"):
            service.renew(session, assignment=held, project=project, now=now)

    def test_a_lost_lease_cannot_be_prolonged_but_the_work_is_not_lost(
        self, session, project, ana, rui, claim
    ):
        make_task(session, project)
        lost = claim(ana)
        claim(rui, later=timedelta(hours=1))
        with pytest.raises(Conflict, match="Submit it all the same"):
            service.renew(session, assignment=lost, project=project, now=database_now(session))

    def test_late_work_counts_where_it_is_still_wanted(self, session, project, ana, rui, claim):
        task = make_task(session, project, wanted=1)
        lost = claim(ana)
        service.free_expired(
            session, project=project, but=rui, now=database_now(session) + timedelta(hours=1)
        )
        assert counters(session, task) == (0, 0, 1)
        done = hand_in(session, lost)
        assert (done.counts, done.is_late) == (True, True)
        assert counters(session, task) == (0, 1, 1)

    def test_late_work_is_surplus_where_it_is_not(self, session, project, ana, rui, claim):
        task = make_task(session, project, wanted=1)
        lost = claim(ana)
        other = claim(rui, later=timedelta(hours=1))
        done = hand_in(session, lost)
        assert (done.counts, done.is_late) == (False, True)
        assert hand_in(session, other).counts
        assert counters(session, task) == (0, 1, 1)
        assert hand_in(session, other) is None

    def test_a_skip_needs_no_lease_and_keeps_the_draft(self, session, project, ana, claim):
        task = make_task(session, project)
        held = claim(ana)
        held.draft = {"rationale": "half"}
        now = database_now(session)
        for _ in range(2):
            service.skip(session, assignment=held, reason=SkipReason.OTHER, note="so", now=now)
        session.refresh(held)
        assert (held.state, held.skip_reason, held.draft) == (
            AssignmentState.SKIPPED,
            SkipReason.OTHER,
            {"rationale": "half"},
        )
        assert counters(session, task) == (0, 0, 1)
        # What she did after all is taken, too.
        assert hand_in(session, held).counts
        with pytest.raises(Conflict, match="submitted this task already"):
            service.skip(session, assignment=held, reason=SkipReason.OTHER, note=None, now=now)


@pytest.mark.concurrency
def test_a_claim_walks_two_indexes_and_never_all_that_somebody_judged(concurrency_engine):
    """A change of a condition must not lose a partial index: it would be felt at 50,000 only."""
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Many", by=boss)
        make_many_tasks(session, project, count=5_000, wanted=3)
        make_many_judged(session, project, boss, count=4_000)
        session.execute(text("ANALYZE task, assignment"))
        where = {"in_project": project.id, "person": boss.id, "gold_key": 0.5}
        where |= {"wants_gold": False, "gold_alone": False}
        stretch = {"level": None, "from_key": 0.0, "to_key": 1.0}
        compiled = take(lanes=False, due=True).compile(dialect=concurrency_engine.dialect)
        rows = session.connection().exec_driver_sql(
            f"EXPLAIN {compiled}", compiled.construct_params(where | stretch)
        )
        plan = "\n".join(rows.scalars())
    assert "Index Scan using ix_task_open" in plan
    assert re.search(r"Index (Only )?Scan using (uq|ix)_assignment_task", plan)
    assert "Join" not in plan
    assert "Seq Scan on task" not in plan
    assert "Seq Scan on assignment" not in plan
