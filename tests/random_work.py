"""Random work of a few people and an admin in one project: everything that they can do meanwhile.

People claim, judge, come late and correct; an admin changes, withdraws and restores keys, makes
gold of ordinary tasks and the other way round, takes judgements out of the count and back in.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from random import Random
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.annotation import service as annotation
from app.annotation.models import Annotation, Requeue
from app.annotation.schemas import GoldBody, JudgementBody
from app.annotation.service.requeue import Which
from app.db import database_now
from app.errors import Invalid
from app.projects.models import Membership
from app.projects.queries import member
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState, Task, TaskKind
from app.tasks.queries import responses_of
from tests.factories import make_member, make_task, make_user
from tests.people import People


class Work:
    """Random steps of people and of an admin in one project, minute after minute."""

    def __init__(self, session: Session, people: People, *, seed: int) -> None:
        self.session, self.project, self.admin = session, people.project, people.ada
        self.rng = Random(seed)
        self.now = database_now(session) - timedelta(days=2)
        for name, value in {"gold_rate": 0.25, "repeat_rate": 0.2, "overlap_min": 2}.items():
            setattr(self.project, name, value)
        self.project.overlap_max = self.rng.choice([2, 4])
        self.project.overlap_confidence = 0.9 if self.project.overlap_max > 2 else None
        self.users = [make_user(session, f"Person {number}") for number in range(4)]
        for user in self.users:
            make_member(session, self.project, user, Role.ANNOTATOR)
        for number in range(50):
            responses = ["x", "y", "z"] if number % 3 == 0 else ["x", "y"]
            make_task(session, self.project, prompt=f"p{number}", responses=responses, wanted=2)
        for number in range(16):
            make_task(session, self.project, prompt=f"gold {number}", prefers=[[0, 1]])
        session.flush()

    def step(self) -> None:
        kinds: dict[Callable[[], None], int] = {
            self.judge: 100, self.judge_late: 8, self.correct: 15, self.take_out: 6,
            self.take_back_in: 4, self.set_key: 6, self.unset_key: 5, self.withdraw_or_restore: 6,
        }  # fmt: skip
        self.now += timedelta(minutes=1)
        act = self.rng.choices(list(kinds), list(kinds.values()))[0]
        act()
        self.session.execute(update(Membership).values(paused_at=None))  # all of them go on
        self.session.expire_all()

    def claim(self) -> Assignment | None:
        user = self.rng.choice(self.users)
        return tasks.claim(
            self.session, project=self.project, user=user, now=self.now, rng=self.rng
        )

    def judge(self) -> None:
        held = self.claim()
        if held is not None:
            self.hand_in(held)

    def judge_late(self) -> None:
        held = self.claim()
        self.now += timedelta(hours=1)
        self.judge()  # somebody, on whom her place may go
        if held is not None and held.state is not AssignmentState.SUBMITTED:
            self.hand_in(held)

    def correct(self) -> None:
        done = self.session.execute(
            select(Assignment, Annotation.revision)
            .join(Annotation, Annotation.assignment_id == Assignment.id)
            .where(Assignment.user_id == self.rng.choice(self.users).id, Annotation.is_current)
            .order_by(Assignment.finished_at.desc(), Assignment.id)
            .limit(10)
        ).all()
        if done:
            assignment, revision = self.rng.choice(done)
            self.hand_in(assignment, revision=revision)

    def hand_in(self, assignment: Assignment, *, revision: int | None = None) -> None:
        size = len(assignment.display_order or ())
        labels = self.rng.sample("ABC"[:size], size)
        is_tie = self.rng.random() < 0.2
        ranking = [labels] if is_tie else [[label] for label in labels]
        strength = self.rng.choice([None, 1, 2, 3]) if size == 2 and not is_tie else None
        annotation.submit(
            self.session,
            assignment=assignment,
            project=self.project,
            user=self.session.get_one(User, assignment.user_id),
            judgement=JudgementBody(ranking=ranking, strength=strength, revision=revision),
            key=None,
            now=self.now,
        )

    def take_out(self) -> None:
        with suppress(Invalid):  # nothing of hers counts
            annotation.requeue(
                self.session,
                project=self.project,
                membership=self.membership(self.rng.choice(self.users).id),
                which=Which(last=self.rng.randint(1, 6)),
                by=self.admin,
                now=self.now,
            )

    def take_back_in(self) -> None:
        entries = self.session.scalars(select(Requeue).order_by(Requeue.at)).all()
        if entries:
            entry = self.rng.choice(entries)
            annotation.undo_requeue(
                self.session,
                project=self.project,
                membership=self.membership(entry.user_id),
                entry=entry,
                by=self.admin,
                now=self.now,
            )

    def membership(self, user_id: UUID) -> Membership:
        found = member(self.session, project=self.project, user_id=user_id)
        assert found is not None
        return found

    def set_key(self) -> None:
        task = self.any_task()
        order = [str(each) for each in responses_of(self.session, task_ids=[task.id])[task.id]]
        better, worse = self.rng.sample(order, 2)
        body = self.rng.choice(
            [
                GoldBody(prefers=[(better, worse)]),
                GoldBody(prefers=[(better, worse)], ties_allowed=True),
                GoldBody(prefers=[], equal=[(better, worse)]),
            ]
        )
        annotation.set_gold(
            self.session, task=task, project=self.project, body=body, by=self.admin, now=self.now
        )

    def unset_key(self) -> None:
        task = self.any_task(Task.kind == TaskKind.GOLD)
        annotation.unset_gold(self.session, task=task, project=self.project, by=self.admin)

    def withdraw_or_restore(self) -> None:
        task = self.any_task(Task.kind == TaskKind.GOLD)
        about = {"task": task, "project": self.project, "by": self.admin, "now": self.now}
        if self.rng.random() < 0.5:
            annotation.withdraw_gold(self.session, reason="In doubt", **about)
        else:
            annotation.restore_gold(self.session, **about)

    def any_task(self, *which: object) -> Task:
        found = select(Task).where(Task.project_id == self.project.id, *which)
        return self.rng.choice(self.session.scalars(found.order_by(Task.random_key)).all())
