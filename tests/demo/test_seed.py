"""`touchstone up --demo`: a project that shows true figures, and work for whoever comes."""

import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from random import Random
from statistics import mean

import pytest
from sqlalchemy import func, select, update

from app.accounts.models import Role, User, UserKind
from app.annotation.models import Annotation
from app.corpus.models import Import, Response
from app.datasets.models import Snapshot
from app.db import JobState, SessionLocal, connect, database_now, transaction
from app.demo import seed
from app.demo.crowd import CROWD
from app.projects import service as projects
from app.projects.models import Membership, Project, Standing
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState, GoldKey, Task, TaskKind, TaskResponse
from tests.conftest import fresh_database, psycopg_url
from tests.factories import make_user


@pytest.fixture(scope="module")
def demo(server_url, template):
    """An installation whose first start with `--demo` broke off after the project was made."""
    with fresh_database(server_url, template) as name:
        engine = connect(psycopg_url(server_url, name))
        with transaction() as session:
            seed._project(session)
        seed.fill()
        yield name
        engine.dispose()
        SessionLocal.configure(bind=None)


@pytest.fixture
def session(demo):
    with SessionLocal() as session:
        yield session


def count(session, *conditions):
    return session.scalars(select(func.count()).where(*conditions)).one()


def everything(session):
    """How much there is of what a start could add to."""
    kinds = (User, Project, Membership, Import, Task, Response, Assignment, Annotation, Snapshot)
    return {
        kind.__name__: session.scalars(select(func.count()).select_from(kind)).one()
        for kind in kinds
    }


def test_there_is_one_project_with_guidelines_gold_and_a_crowd(session):
    project = session.scalars(select(Project)).one()
    assert project.name == "Demo: everyday assistant"
    assert project.strength_levels == 3
    assert project.gold_rate > 0
    assert session.scalar(select(Import.state)) is JobState.SUCCEEDED
    assert count(session, GoldKey.task_id.is_not(None)) >= 12
    names = set(session.scalars(select(User.name)))
    assert names == {persona.name for persona in CROWD} | {seed.HOST}


def test_nobody_can_sign_in_as_one_of_the_crowd(session):
    users = session.scalars(select(User)).all()
    assert {user.kind for user in users} == {UserKind.SIMULATED}
    assert all(user.email is None and user.password_hash is None for user in users)


def test_a_visitor_finds_many_tasks_that_want_her(session):
    wanting = count(
        session, Task.kind == TaskKind.ORDINARY, Task.leased + Task.counted < Task.wanted
    )
    assert wanting >= 25


def test_the_figures_of_each_task_agree_with_its_judgements(session):
    judged = (
        select(func.count())
        .where(Annotation.task_id == Task.id, Annotation.counted, Annotation.is_current)
        .scalar_subquery()
    )
    for task, n in session.execute(select(Task, judged)):
        assert (task.counted, task.leased) == (n, 0)
    assert count(session, Assignment.state != AssignmentState.SUBMITTED) == 0
    assert 80 < count(session, Annotation.counted) < 207


def test_the_judgements_lie_in_the_last_weeks_and_took_their_time(session):
    now = database_now(session)
    rows = session.execute(
        select(
            Annotation.submitted_at,
            Annotation.visible_ms,
            Annotation.wall_ms,
            Assignment.created_at,
        ).join(Assignment, Assignment.id == Annotation.assignment_id)
    ).all()
    assert all(now - timedelta(days=17) < row.created_at < row.submitted_at < now for row in rows)
    assert all(0 < row.visible_ms <= row.wall_ms for row in rows)
    assert len({row.submitted_at.date() for row in rows}) >= 6


def test_nobody_works_on_two_tasks_at_once(session):
    rows = session.execute(
        select(Assignment.user_id, Assignment.created_at, Assignment.finished_at).order_by(
            Assignment.user_id, Assignment.created_at
        )
    ).all()
    for one, next_one in pairwise(rows):
        assert one.user_id != next_one.user_id or one.finished_at < next_one.created_at


def test_gold_finds_nothing_wrong_with_the_careful_one(session):
    careful = session.scalars(
        select(Membership)
        .join(User, User.id == Membership.user_id)
        .where(User.name == "Simulated: careful")
    ).one()
    assert careful.gold_seen >= 1
    assert careful.gold_passed / careful.gold_seen > 0.6
    assert (careful.standing, careful.paused_at) == (Standing.GOOD, None)


def test_the_place_on_the_screen_decides_for_the_left_clicker_alone(session):
    def share_of_the_first(name):
        rows = session.execute(
            select(Annotation.ranks, Assignment.display_order)
            .join(Assignment, Assignment.id == Annotation.assignment_id)
            .join(User, User.id == Annotation.user_id)
            .where(User.name == name, func.cardinality(Annotation.ranks) == 2)
        ).all()
        return mean(ranks[order[0]] == 1 and ranks != [1, 1] for ranks, order in rows)

    assert share_of_the_first("Simulated: left-clicker") > 0.8
    assert 0.2 < share_of_the_first("Simulated: careful") < 0.8


def test_what_the_crowd_knew_has_not_been_imported(session):
    assert session.scalars(select(Response.meta).distinct()).all() == [{}]
    assert session.scalars(select(func.count(Response.source.distinct()))).one() == 4


def test_the_snapshot_feeds_every_kind_of_training(session):
    snapshot = session.scalars(select(Snapshot)).one()
    assert snapshot.state is JobState.SUCCEEDED
    rows = {file["path"]: file["rows"] for file in snapshot.files}
    for config in ("sft", "ranking", "preference", "prompts"):
        assert rows[f"{config}/train.jsonl.gz"] >= 25
        assert rows[f"{config}/test.jsonl.gz"] >= 1


def test_another_start_adds_nothing_even_when_the_project_was_renamed(session):
    before = everything(session)
    session.execute(update(Project).values(name="What we learnt with"))
    session.commit()
    seed.fill()
    assert everything(session) == before
    session.execute(update(Project).values(name=seed.NAME))
    session.commit()


def test_a_start_after_a_broken_one_goes_on_where_that_ended(session):
    before = everything(session)
    session.execute(update(Snapshot).values(state=JobState.FAILED, error="The power went out."))
    session.commit()
    seed.fill()
    after = everything(session)
    assert after == before | {"Snapshot": before["Snapshot"] + 1}
    session.execute(Snapshot.__table__.delete().where(Snapshot.state == JobState.FAILED))
    session.commit()


def test_ana_can_begin_at_once(session):
    project = session.scalars(select(Project)).one()
    host = session.get_one(User, project.created_by)
    ana = make_user(session, "Ana")
    projects.set_member(session, project=project, user=ana, role=Role.ANNOTATOR, by=host)
    assignment = tasks.claim(
        session, project=project, user=ana, now=database_now(session), rng=Random(1)
    )
    assert assignment is not None
    size = count(session, TaskResponse.task_id == assignment.task_id)
    assert sorted(assignment.display_order) == list(range(size))
    session.rollback()


def test_neither_the_demo_nor_what_it_uses_loads_torch():
    program = "import sys, app.demo.seed; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
