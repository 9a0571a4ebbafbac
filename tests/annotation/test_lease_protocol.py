"""The protocol of leases against a small model of it: any sequence of steps, with a clock of ours.

The model knows who holds, judged or skipped what, and until when. After every step the database
must say the same.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from app.accounts.models import Role, User
from app.annotation import service as annotation
from app.annotation.models import Annotation
from app.annotation.schemas import GoldBody, JudgementBody
from app.db import SessionLocal, transaction
from app.errors import Conflict
from app.projects.models import Membership, Project
from app.tasks import service as tasks
from app.tasks.models import Assignment, SkipReason, Task, TaskKind
from app.tasks.queries import responses_of
from tests.factories import make_member, make_project, make_task, make_user

PEOPLE, TASKS, LEASE = 3, 4, 30
PERSON, TASK = st.integers(0, PEOPLE - 1), st.integers(0, TASKS - 1)
STEPS = settings(
    max_examples=8,
    stateful_step_count=25,
    derandomize=True,  # the same sequences every time
    phases=[Phase.generate],  # to shrink a failing one takes minutes
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Lent:
    """What the model knows of an assignment."""

    person: int
    task: int
    state: str
    until: datetime
    renewals: int = 0
    revision: int = 0
    counted: bool = False


class Protocol(RuleBasedStateMachine):
    lent = Bundle("lent")

    def __init__(self, connection):
        super().__init__()
        self.savepoint = connection.begin_nested()
        self.now = datetime(2026, 11, 25, 9, tzinfo=UTC)
        self.rng = Random(1)
        self.model: dict[UUID, Lent] = {}
        self.wanted: dict[int, int] = dict.fromkeys(range(TASKS), 2)
        self.gold: set[int] = set()
        self.paused: set[int] = set()
        self.overlap = 2
        with transaction() as session:
            self.boss = make_user(session, "The boss").id
            project = make_project(
                session, f"Protocol {uuid4()}", by=session.get_one(User, self.boss),
                gold_rate=0.3, overlap_min=2, overlap_max=2, lease_minutes=LEASE,
            )  # fmt: skip
            users = [make_user(session, f"Somebody {number}") for number in range(PEOPLE)]
            for user in users:
                make_member(session, project, user, Role.ANNOTATOR)
            made = [make_task(session, project, prompt=f"p{n}", wanted=2) for n in range(TASKS)]
            self.project = project.id
            self.people, self.tasks = [each.id for each in users], [each.id for each in made]

    def teardown(self):
        self.savepoint.rollback()

    def held(self, task):
        return sum(each.task == task and each.state == "open" for each in self.model.values())

    def counted(self, task):
        return sum(each.task == task and each.counted for each in self.model.values())

    def has_place(self, task):
        is_ordinary = task not in self.gold
        return is_ordinary and self.held(task) + self.counted(task) < self.wanted[task]

    def had(self, person, task, *states):
        return any(
            each.person == person and each.task == task and (not states or each.state in states)
            for each in self.model.values()
        )

    @rule(target=lent, person=PERSON, ahead=st.booleans())
    def claim(self, person, ahead):
        mine = [(key, each) for key, each in self.model.items() if each.person == person]
        open_ = [(key, each) for key, each in mine if each.state == "open"]
        after = self.rng.choice(open_)[0] if ahead and open_ else None
        with transaction() as session:
            got = tasks.claim(
                session,
                project=session.get_one(Project, self.project),
                user=session.get_one(User, self.people[person]),
                now=self.now,
                rng=self.rng,
                after=session.get_one(Assignment, after) if after else None,
            )
            found = (got.id, self.tasks.index(got.task_id), got.leased_until) if got else None
        self.see_what_was_freed(person)
        others = [key for key, _ in open_ if key != after]
        if person in self.paused:
            in_time = {key for key in others if self.model[key].until > self.now}
            assert found is None or found[0] in in_time
            return multiple()
        if others:
            assert found is not None
            assert found[0] in others
            known = self.model[found[0]]
            assert found[2] == (
                known.until if known.until > self.now else self.now + timedelta(minutes=LEASE)
            )
            known.until = found[2]
            return multiple()
        if found is None:
            can_have = [
                task
                for task in range(TASKS)
                if self.has_place(task)
                and not self.had(person, task, "open", "submitted", "skipped")
            ]
            assert can_have == []
            return multiple()
        key, task, until = found
        assert until == self.now + timedelta(minutes=LEASE)
        if task in self.gold:
            assert not self.had(person, task)
        else:
            assert self.has_place(task)
            assert not self.had(person, task, "open", "submitted", "skipped")
        is_back = key in self.model
        self.model[key] = Lent(person, task, "open", until)
        return multiple() if is_back else key

    def see_what_was_freed(self, claimer):
        """A claim frees other people's leases on its way, but only those that have run out."""
        with SessionLocal() as session:
            states = dict(session.execute(select(Assignment.id, Assignment.state)).all())
        for key, each in self.model.items():
            if each.state == "open" and states[key] == "expired":
                assert each.until <= self.now
                assert each.person != claimer
                each.state = "expired"

    @rule(key=lent, better=st.sampled_from("AB"))
    def submit(self, key, better):
        """In time or late, or once more with a revision, or a stale one."""
        each = self.model[key]
        if each.state == "submitted":
            self.hand_in(key, better, revision=each.revision)
            each.revision += 1
            return
        is_late = each.state in {"expired", "skipped"}
        counts = self.has_place(each.task) if is_late else each.task not in self.gold
        self.hand_in(key, better)
        each.state, each.revision, each.counted = "submitted", 1, counts

    @rule(key=lent, wrong=st.integers(1, 3))
    def submit_a_stale_revision(self, key, wrong):
        each = self.model[key]
        if each.state == "submitted":
            with pytest.raises(Conflict):
                self.hand_in(key, "A", revision=max(0, each.revision - wrong))

    def hand_in(self, key, better, *, revision=None):
        """Twice under the same key, which is once."""
        body = JudgementBody(ranking=[[better], ["B" if better == "A" else "A"]], revision=revision)
        word, replies = str(uuid4()), []
        for _ in range(2):
            with transaction() as session:
                done = annotation.submit(
                    session,
                    assignment=session.get_one(Assignment, key),
                    project=session.get_one(Project, self.project),
                    user=session.get_one(User, self.people[self.model[key].person]),
                    judgement=body,
                    key=word,
                    now=self.now,
                )
                replies.append((done.annotation_id, done.revision, done.counted))
        assert replies[0] == replies[1]

    @rule(key=lent)
    def skip(self, key):
        each = self.model[key]
        with transaction() as session:
            given = {"reason": SkipReason.OTHER, "note": None, "now": self.now}
            assignment = session.get_one(Assignment, key)
            if each.state == "submitted":
                with pytest.raises(Conflict):
                    tasks.skip(session, assignment=assignment, **given)
                return
            tasks.skip(session, assignment=assignment, **given)
        each.state = "skipped"

    @rule(key=lent)
    def release(self, key):
        with transaction() as session:
            tasks.release(session, assignment=session.get_one(Assignment, key), now=self.now)
        if self.model[key].state == "open":
            self.model[key].state = "expired"

    @rule(key=lent)
    def renew(self, key):
        each = self.model[key]
        with transaction() as session:
            project = session.get_one(Project, self.project)
            about = {"assignment": session.get_one(Assignment, key), "project": project}
            if each.state != "open":
                with pytest.raises(Conflict):
                    tasks.renew(session, now=self.now, **about)
                return
            tasks.renew(session, now=self.now, **about)
        each.until = self.now + timedelta(minutes=LEASE)

    @rule(minutes=st.sampled_from([1, 10, 29, 30, 31]))
    def time_passes(self, minutes):
        self.now += timedelta(minutes=minutes)

    @rule(overlap=st.integers(1, 3))
    def change_the_overlap(self, overlap):
        self.overlap = overlap
        with transaction() as session:
            project = session.get_one(Project, self.project)
            project.overlap_min = project.overlap_max = overlap
            session.flush()
            annotation.apply_overlap(session, project=project)
        for task in set(range(TASKS)) - self.gold:
            self.wanted[task] = max(overlap, self.held(task) + self.counted(task))

    @rule(person=PERSON)
    def pause_or_resume(self, person):
        self.paused ^= {person}
        with transaction() as session:
            member = session.get_one(Membership, (self.project, self.people[person]))
            member.paused_at = self.now if person in self.paused else None

    @rule(task=TASK)
    def make_gold_or_ordinary(self, task):
        with transaction() as session:
            by = {
                "task": session.get_one(Task, self.tasks[task]),
                "project": session.get_one(Project, self.project),
                "by": session.get_one(User, self.boss),
            }
            if task in self.gold:
                annotation.unset_gold(session, **by)
            else:
                first, second = responses_of(session, task_ids=[self.tasks[task]])[self.tasks[task]]
                # Either is right, so that nobody is paused for her answers.
                body = GoldBody(prefers=[(str(first), str(second))], ties_allowed=True)
                annotation.set_gold(session, body=body, now=self.now, **by)
        self.gold ^= {task}
        for each in self.model.values():
            if each.task == task:
                each.counted = task not in self.gold and each.state == "submitted"
        if task not in self.gold:
            self.wanted[task] = max(self.overlap, self.held(task) + self.counted(task))

    @invariant()
    def the_database_says_the_same(self):
        with SessionLocal() as session:
            rows = session.execute(
                select(Task.id, Task.kind, Task.wanted, Task.leased, Task.counted).where(
                    Task.project_id == self.project
                )
            ).all()
            states = session.execute(
                select(Assignment.id, Assignment.state, Assignment.leased_until).where(
                    Assignment.project_id == self.project
                )
            ).all()
            given = session.execute(
                select(Annotation.assignment_id, Annotation.revision, Annotation.counted).where(
                    Annotation.project_id == self.project, Annotation.is_current
                )
            ).all()
        for row in rows:
            task = self.tasks.index(row.id)
            if task in self.gold:
                assert (row.kind, row.wanted, row.leased, row.counted) == (
                    TaskKind.GOLD, None, 0, 0,
                )  # fmt: skip
            else:
                assert (row.kind, row.wanted, row.leased, row.counted) == (
                    TaskKind.ORDINARY, self.wanted[task], self.held(task), self.counted(task),
                )  # fmt: skip
        assert {row.id: (row.state, row.leased_until) for row in states} == {
            key: (each.state, each.until) for key, each in self.model.items()
        }
        assert {row.assignment_id: (row.revision, row.counted) for row in given} == {
            key: (each.revision, each.counted)
            for key, each in self.model.items()
            if each.state == "submitted"
        }


def test_leases_follow_their_protocol_in_any_order(connection):
    run_state_machine_as_test(lambda: Protocol(connection), settings=STEPS)
