"""What the simulated annotators make of texts they were told nothing of, and how they work."""

import pytest
from sqlalchemy import func, select

from app.accounts.models import User, UserKind
from app.annotation.models import Annotation
from app.db import SessionLocal, connect, transaction
from app.demo import content, seed
from app.demo.judging import Desk, judge_open_tasks
from app.demo.reading import BEST, read
from app.projects.models import Project
from app.tasks.models import Assignment, Task, TaskKind
from tests.conftest import fresh_database, psycopg_url

DESK = Desk(content.load())
PROMPT = "How do noise-cancelling headphones work?"
GOOD = (
    "Small microphones listen to the noise around you, and the headphones play the opposite sound. "
    "The two cancel each other before they reach your ear."
)


def quality(text, prompt=PROMPT):
    return read(text, prompt=prompt, known=DESK.known).quality


@pytest.mark.parametrize(
    "worse",
    [
        "",
        "the the the the the the the the the the the the the the the the the the the the",
        "mnxo prfu glint sorpel fnazz quoob trelk wibbel noggin plurt zazzle mordo finks",
        "Small microphones",
        "Bread needs flour and water, and then some time in a warm place before you bake it.",
    ],
)
def test_a_text_about_the_question_is_worth_more_than_nonsense(worse):
    assert quality(GOOD) > quality(worse)


def test_what_they_cannot_read_is_never_worth_as_much_as_a_good_text_of_the_demo():
    best = max(judged.quality for judged in DESK.judged.values())
    assert quality(GOOD) <= BEST < best
    assert all(0 <= quality(text) <= BEST for text in DESK.judged)


def test_the_demos_own_texts_are_judged_by_what_they_were_told():
    text, judged = next(iter(DESK.judged.items()))
    assert DESK.shown(text, prompt="?").quality == judged.quality
    assert DESK.shown(text + " And so on.", prompt="?").quality != judged.quality


@pytest.fixture
def demo(server_url, template):
    with fresh_database(server_url, template) as name:
        engine = connect(psycopg_url(server_url, name))
        seed.fill()
        with transaction() as session:
            yield session.scalars(select(Project.id)).one()
        engine.dispose()
        SessionLocal.configure(bind=None)


@pytest.mark.concurrency
def test_they_judge_what_is_open_and_only_that(demo):
    assert judge_open_tasks(demo, most=3) == 3  # cut off
    judge_open_tasks(demo)
    with transaction() as session:
        open_ones = select(func.count()).where(
            Task.kind == TaskKind.ORDINARY, Task.counted < Task.wanted
        )
        assert session.scalars(open_ones).one() == 0
        assert session.scalars(select(func.count()).where(Task.leased > 0)).one() == 0
        judges = set(session.scalars(select(User.kind).join(Annotation).distinct()))
        assert judges == {UserKind.SIMULATED}
        twice = session.execute(
            select(Assignment.task_id, Assignment.user_id)
            .where(~Assignment.is_repeat)
            .group_by(Assignment.task_id, Assignment.user_id)
            .having(func.count() > 1)
        ).all()
        assert twice == []
    assert judge_open_tasks(demo) == 0
