"""How much one person may hand in: on a day, in all, and as a share of the project."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import event

from app.projects.models import Membership
from app.tasks import queries, service
from app.tasks.schemas import Nothing
from tests.factories import make_task

MORNING = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


@pytest.fixture
def claim(session, project):
    rng = Random(5)
    for number in range(20):
        make_task(session, project, prompt=f"p{number}", wanted=2)

    def claim_for(user, *, now=MORNING, after=None):
        return service.claim(session, project=project, user=user, now=now, rng=rng, after=after)

    return claim_for


def work(session, claim, user, *, now=MORNING):
    """Hand in all that she is given; how much it was."""
    done = 0
    while (assignment := claim(user, now=now)) is not None:
        service.complete(session, assignment=assignment, now=now)
        done += 1
    return done


def reason(session, project, user, *, now=MORNING):
    return queries.why_nothing(session, project=project, user=user, now=now)


def test_a_day_has_so_many_tasks_and_the_next_one_as_many(session, project, ana, claim):
    project.daily_limit = 3
    assert work(session, claim, ana) == 3
    assert reason(session, project, ana) is Nothing.DAILY_LIMIT
    late = MORNING.replace(hour=23, minute=59)
    assert claim(ana, now=late) is None
    midnight = MORNING.replace(hour=0) + timedelta(days=1)
    assert reason(session, project, ana, now=midnight) is None
    assert work(session, claim, ana, now=midnight) == 3


def test_what_she_holds_is_part_of_the_day_and_may_be_finished(session, project, ana, claim):
    project.daily_limit = 2
    first = claim(ana)
    second = claim(ana, after=first)
    assert second is not None
    service.complete(session, assignment=first, now=MORNING)
    assert claim(ana, after=second) is None  # one is handed in, one is on her screen
    assert claim(ana) is second
    assert service.complete(session, assignment=second, now=MORNING).counts


def test_what_she_gave_back_is_not_part_of_the_day(session, project, ana, claim):
    project.daily_limit = 1
    for _ in range(3):
        service.release(session, assignment=claim(ana), now=MORNING)
    assert work(session, claim, ana) == 1


@pytest.mark.parametrize(("own", "expected"), [(None, 4), (2, 2), (6, 6)])
def test_a_limit_of_her_own_goes_before_the_projects(
    session, project, ana, rui, claim, own, expected
):
    project.total_limit = 4
    session.get(Membership, (project.id, ana.id)).total_limit = own
    session.flush()
    assert work(session, claim, ana) == expected
    assert reason(session, project, ana) is Nothing.TOTAL_LIMIT
    assert claim(ana, now=MORNING + timedelta(days=9)) is None
    assert work(session, claim, rui) == 4


def test_nobody_gives_more_than_her_share(session, project, ana, rui, claim):
    project.largest_share = 20  # of 40 judgements
    assert work(session, claim, ana) == 8
    assert reason(session, project, ana) is Nothing.LARGEST_SHARE
    assert work(session, claim, rui) == 8


def test_a_limit_goes_on_for_an_admin_who_comes_back_by_working(session, project, ada, claim):
    project.total_limit = 2
    assert work(session, claim, ada) == 2
    session.delete(session.get_one(Membership, (project.id, ada.id)))
    session.flush()
    assert claim(ada) is None
    assert session.get_one(Membership, (project.id, ada.id)).claimed == 2


def test_gold_is_part_of_a_limit_so_that_it_tells_nothing(session, project, ana, claim):
    project.gold_rate, project.total_limit = 0.5, 12
    for number in range(9):
        make_task(session, project, prompt=f"g{number}", prefers=[[0, 1]])
    assert work(session, claim, ana) == 12


def test_the_end_of_the_work_goes_before_a_limit(session, project, ana, claim):
    project.daily_limit = 20
    assert work(session, claim, ana) == 20
    assert reason(session, project, ana) is Nothing.NONE_FOR_YOU


def test_limits_that_are_far_away_are_not_looked_at(session, project, ana, claim, connection):
    asked = []

    def hear(_connection, _cursor, statement, *_rest):
        asked.append(statement)

    project.total_limit, project.largest_share = 10, 50  # she has been handed one task
    session.flush()
    event.listen(connection, "before_cursor_execute", hear)
    claim(ana)
    event.remove(connection, "before_cursor_execute", hear)
    assert [each for each in asked if "INSERT INTO assignment" in each]
    assert not [each for each in asked if each.startswith("SELECT count(*)")]
