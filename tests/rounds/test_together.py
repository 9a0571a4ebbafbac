"""Two workers look at once, one dies between two steps: each step is done once, nothing is lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from sqlalchemy import func, select, text

from app.accounts.models import Role, User
from app.datasets.models import Snapshot
from app.db import transaction
from app.errors import Conflict
from app.projects.models import Project
from app.rounds import service
from app.rounds.models import Round, RoundEvent
from app.rounds.rules import Step
from app.worker.rounds import look_after_rounds
from tests.factories import make_project, make_user
from tests.rounds.factories import QUICK, finish_snapshot, judge_everything, make_round
from tests.waiting import until

pytestmark = pytest.mark.concurrency


@pytest.fixture
def round_id(concurrency_engine):
    """A round in which all is judged, so that the next look freezes."""
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        ana = make_user(session, "Ana")
        project = make_project(session, "Eggs", by=ada)
        judge_everything(session, project, ana)
        return make_round(session, project, ada, policy=QUICK).id


def counts():
    with transaction() as session:
        begun = session.execute(
            select(RoundEvent.step, func.count())
            .where(RoundEvent.kind == "began")
            .group_by(RoundEvent.step)
        ).all()
        snapshots = session.scalars(select(func.count()).select_from(Snapshot)).one()
        jobs = session.scalars(
            text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'snapshot'")
        ).one()
    return {step.value: number for step, number in begun}, snapshots, jobs


def test_many_workers_that_look_at_once_do_each_step_once(round_id):
    together = threading.Barrier(6)

    def work():
        together.wait()
        for _ in range(3):
            look_after_rounds()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts() == ({"rank": 1, "freeze": 1}, 1, 1)


DIES = """
import os, signal, sys
from uuid import UUID
from app.db import connect, transaction
from app.rounds import service
connect(sys.argv[1])
with transaction() as session:
    assert service.look(session, round_id=UUID(sys.argv[2]))
    session.flush()
    if sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_is_killed_between_two_steps_loses_nothing(
    round_id, concurrency_engine, when
):
    url = concurrency_engine.url.render_as_string(hide_password=False)
    for _ in range(2):  # killed again and again
        died = subprocess.run(
            [sys.executable, "-c", DIES, url, str(round_id), when], env=os.environ, check=False
        )
        assert died.returncode == -signal.SIGKILL

    def it_has_gone_on():  # once the database has noticed that nobody holds the round any more
        look_after_rounds()
        return counts() == ({"rank": 1, "freeze": 1}, 1, 1)

    until(it_has_gone_on)


def test_a_button_and_a_worker_at_once_begin_a_step_once(round_id):
    with transaction() as session:
        session.get_one(Round, round_id).policy = QUICK | {"by_hand": ["freeze"]}
    look_after_rounds()
    together, refused = threading.Barrier(3), []

    def press():
        with transaction() as session:
            round_ = session.get_one(Round, round_id)
            ada = session.scalars(select(User).where(User.name == "Ada")).one()
            together.wait()
            try:
                service.begin_step(session, round_=round_, by=ada, turn=round_.turn)
            except Conflict as error:
                session.rollback()
                refused.append(str(error))

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    together.wait()
    look_after_rounds()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert counts() == ({"rank": 1, "freeze": 1}, 1, 1)


def test_a_worker_looks_after_the_rounds_of_all_projects(round_id):
    with transaction() as session:
        ada = session.scalars(select(User).where(User.name == "Ada")).one()
        ana = session.scalars(select(User).where(User.name == "Ana")).one()
        other = make_project(session, "Ham", by=ada)
        judge_everything(session, other, ana)
        make_round(session, other, ada)
    look_after_rounds()
    with transaction() as session:
        rounds = session.scalars(select(Round)).all()
        assert [round_.step for round_ in rounds] == [Step.FREEZE, Step.FREEZE]
        for round_ in rounds:
            finish_snapshot(session, round_)
    look_after_rounds()
    with transaction() as session:
        assert session.scalars(select(func.count()).select_from(Project)).one() == 2
        assert {round_.step for round_ in session.scalars(select(Round))} == {Step.TRAIN}
