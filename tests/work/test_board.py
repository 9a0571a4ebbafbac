"""The page of the work in progress: what it says is so."""

from datetime import timedelta

import pytest

from app.db import database_now
from app.tasks.models import Assignment, AssignmentState, QualificationAttempt, SkipReason
from app.work.rules import shift
from app.work.rules.census import census
from app.work.rules.demand import Pace, demand, how, in_words, saving_in_words
from app.work.rules.words import ago, hours, some
from app.work.service import board
from tests.factories import make_annotation, make_question, make_task


@pytest.fixture
def busy(session, project, ana, rui, ada):
    """Ana and Rui at work on six tasks, one of them gold."""
    now = database_now(session)
    for number in range(6):
        task = make_task(session, project, prompt=f"Question {number}", wanted=2)
        if number < 5:
            at = now - timedelta(minutes=2 * number)
            make_annotation(session, task, ana, ranks=[1, 2], active_ms=60_000, submitted_at=at)
        if number < 2:
            make_annotation(
                session,
                task,
                rui,
                ranks=[1, 2],
                active_ms=60_000,
                submitted_at=now - timedelta(hours=3),
            )
    gold = make_task(session, project, prompt="Gold", prefers=[[0, 1]])
    make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True, active_ms=60_000)
    skipped = make_task(session, project, prompt="Nobody likes this one", wanted=2)
    for user in (ana, ada):
        hold(
            session, skipped, user, state=AssignmentState.SKIPPED, finished_at=now,
            skip_reason=SkipReason.UNCLEAR,
        )  # fmt: skip
    hold(session, task, ana, leased_until=now + timedelta(minutes=9))
    hold(session, make_task(session, project, prompt="left", wanted=2), rui, leased_until=now)
    session.commit()


def hold(session, task, user, **fields):
    now = database_now(session)
    is_open = "state" not in fields
    session.add(
        Assignment(
            project_id=task.project_id,
            task_id=task.id,
            user_id=user.id,
            display_order=[0, 1],
            created_at=now - timedelta(minutes=20),
            **({"leased_until": now} | fields),
        )
    )
    task.leased += is_open
    session.flush()


@pytest.mark.usefixtures("busy")
def test_the_numbers_are_those_of_the_rows(api, ada, project):
    work = api(ada).get(f"/api/v1/projects/{project.id}/work").json()
    assert work["tasks"] == {
        "total": 8,
        "complete": 2,
        "held": 2,
        "begun": 3,
        "untouched": 1,
        "places_wanted": 16,
        "places_counted": 7,
        "places_held": 2,
        "places_free": 7,
    }
    assert (work["leases"]["running"], work["leases"]["expired"]) == (1, 1)
    assert dict(work["leases"]["ages"])["15–30 min"] == 1
    handed = work["handed"]
    assert (handed["gold"], handed["gold_tasks"], handed["surplus"]) == (1, 1, 0)
    assert handed["skipped"] == {"unclear": 2}
    assert [(each["prompt"], each["people"]) for each in handed["most_skipped"]] == [
        ("Nobody likes this one", 2)
    ]
    assert sum(each["judgements"] for each in work["hours"]) == 8
    ana, rui = work["people"]
    assert (ana["name"], ana["is_at_work"], ana["judgements"]) == ("Ana", True, 6)
    assert (ana["holds"][0]["prompt"], ana["holds"][0]["held_for"]) == ("Question 5", "20 min")
    assert (rui["name"], rui["is_at_work"], rui["holds"][0]["left"]) == ("Rui", False, None)
    left = work["demand"]
    assert (left["judgements"], left["people"]) == (9, 1)
    assert left["judgements_per_hour"] == 52.5  # 7 that count in 8 minutes
    assert left["person_hours"] == pytest.approx(9 / 52.5, abs=1e-3)
    assert work["invariants"]["hold"] is True


@pytest.mark.usefixtures("busy")
def test_a_task_that_was_closed_before_anybody_judged_it_is_in_one_state(
    api, ada, project, session
):
    task = make_task(session, project, prompt="Shown by the guidelines", wanted=2)
    task.wanted, task.closed_at = 0, database_now(session)
    session.commit()
    tasks = api(ada).get(f"/api/v1/projects/{project.id}/work").json()["tasks"]
    states = [tasks[state] for state in ("complete", "held", "begun", "untouched")]
    assert states == [3, 2, 3, 1]
    assert sum(states) == tasks["total"]


@pytest.mark.usefixtures("busy")
def test_questions_of_the_qualification_slow_nobody_down(api, ada, rui, project, session):
    path = f"/api/v1/projects/{project.id}/work"
    before = api(ada).get(path).json()
    now = database_now(session)
    attempt = QualificationAttempt(
        project_id=project.id, user_id=rui.id, number=1, size=9, needed=9,
        answered=1, correct=1, started_at=now,
    )  # fmt: skip
    session.add(attempt)
    session.flush()
    question = make_question(session, project)
    answer = make_annotation(session, question, rui, ranks=[1, 2], active_ms=3_600_000)
    asked = session.get_one(Assignment, answer.assignment_id)
    asked.attempt_id, asked.question = attempt.id, 1
    session.commit()
    board.forget()
    after = api(ada).get(path).json()
    assert before["demand"]["active_hours_last_day"] > 0
    for figure in ("active_hours_last_day", "judgements_per_hour", "person_hours", "people"):
        assert after["demand"][figure] == before["demand"][figure]
    assert after["hours"] == before["hours"]


@pytest.mark.usefixtures("busy")
def test_admins_and_reviewers_see_the_page(sign_in, ada, rui, project):
    for user in (ada, rui):
        page = sign_in(user).get(f"/projects/{project.id}/work").text
        assert "9 judgements to go: about 10 minutes of work; about 10 minutes at the pace" in page
        assert "Everything adds up" in page
        assert "Nobody likes this one" in page
        assert "time is over" in page


def test_nobody_learns_which_of_her_own_tasks_are_gold(sign_in, ada, rui, project, session):
    gold = make_task(session, project, prompt="What is it?", prefers=[[0, 1]])
    hold(session, gold, rui, leased_until=database_now(session) + timedelta(minutes=9))
    gold.leased = 0
    session.commit()
    badge = '<span class="badge badge-info">gold</span>'
    assert badge in sign_in(ada).get(f"/projects/{project.id}/work").text
    own = sign_in(rui).get(f"/projects/{project.id}/work").text
    assert "What is it?" in own
    assert badge not in own
    assert str(gold.id) not in own


def test_without_tasks_it_says_what_to_do(sign_in, ada, project):
    assert "There are no tasks yet" in sign_in(ada).get(f"/projects/{project.id}/work").text


def test_what_does_not_add_up_is_named_in_red(sign_in, ada, project, session):
    task = make_task(session, project, wanted=2, leased=1)
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/work").text
    assert "Something does not add up" in page
    assert "notice-bad" in page
    assert f"task {task.id}: 1 places held, 0 open assignments" in page


def test_a_large_project_is_checked_when_somebody_asks(sign_in, ada, project, session, monkeypatch):
    monkeypatch.setattr(board, "LARGE", 1)
    for number in range(3):
        make_task(session, project, prompt=f"p{number}")
    session.commit()
    browser = sign_in(ada)
    assert "Check now" in browser.get(f"/projects/{project.id}/work").text
    assert "Everything adds up" in browser.get(f"/projects/{project.id}/work?check=now").text
    assert "Everything adds up" in browser.get(f"/projects/{project.id}/work").text  # still known


def test_figures_are_kept_for_some_seconds(api, ada, project, session):
    program = api(ada)
    path = f"/api/v1/projects/{project.id}/work"
    assert program.get(path).json()["tasks"]["total"] == 0
    make_task(session, project)
    session.commit()
    assert program.get(path).json()["tasks"]["total"] == 0
    board.forget()
    assert program.get(path).json()["tasks"]["total"] == 1


# -- the rules


def test_demand_without_a_pace_is_honest():
    left = demand(census([(2, 0, 0, 10)]), least=2, most=2, pace=Pace(2, 0.5, 1))
    assert in_words(left) == (
        "20 judgements to go. There is no pace yet to tell how long they take."
    )
    assert how(left).startswith("A pace is told from 5 judgements")
    away = demand(census([(2, 0, 0, 10)]), least=2, most=2, pace=Pace(60, 1, 0))
    assert in_words(away).endswith("Nobody is at work now.")
    done = demand(census([(2, 2, 0, 10)]), least=2, most=2, pace=Pace(60, 1, 2))
    assert in_words(done) == "Everything that is wanted has been judged."


def test_demand_in_hours():
    left = demand(census([(2, 1, 1, 390)]), least=2, most=2, pace=Pace(120, 2, 3))
    assert in_words(left) == (
        "390 judgements to go: about 6.5 person-hours; about 2.2 hours at the pace of the 3 people "
        "at work now."
    )


def test_adaptive_overlap_adds_what_settled_tasks_needed():
    """Of 40 that got two, 10 went on to three, of which 5 went on to four, the most."""
    cells = [(2, 2, 0, 30), (3, 3, 0, 5), (4, 4, 0, 5), (2, 0, 0, 100), (3, 2, 0, 8)]
    left = demand(census(cells), least=2, most=4, pace=Pace(60, 1, 1))
    assert left.judgements == 208
    went_on, further = 18 / 48, 5 / 10  # the eight that wait for a third went on as well
    assert left.further == pytest.approx(100 * (went_on + went_on * further) + 8 * further)
    few = demand(census([(2, 2, 0, 3), (2, 0, 0, 9)]), least=2, most=4, pace=Pace(60, 1, 1))
    assert few.further == 0
    assert "(3 so far)" in how(few)


def test_what_adaptive_overlap_has_saved():
    cells = [(2, 2, 0, 30), (3, 3, 0, 5), (4, 4, 0, 5), (2, 0, 0, 9), (1, 1, 0, 7, 0, True)]
    left = demand(census(cells), least=2, most=4, pace=Pace(130, 2, 1))
    assert saving_in_words(left) == (
        "Adaptive overlap has saved 65 judgements so far, about 60 minutes of work at the pace of "
        "the last 24 hours: 35 tasks were sure with fewer than 4."
    )
    assert saving_in_words(demand(census(cells), least=4, most=4, pace=Pace(0, 0, 0))) is None


def test_the_page_shows_the_saving(sign_in, ada, ana, rui, project, session):
    project.overlap_min, project.overlap_max = 2, 4
    task = make_task(session, project, wanted=2)
    for user in (ana, rui):
        make_annotation(session, task, user, ranks=[1, 2])
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/work").text
    assert "Adaptive overlap has saved 2 judgements so far" in page
    assert "1 task was sure with fewer than 4." in page


def test_what_was_closed_says_nothing_of_how_many_tasks_need_more():
    cells = [(2, 2, 0, 30), (2, 2, 0, 900, 0, True), (3, 3, 0, 10), (2, 0, 0, 100)]
    left = demand(census(cells), least=2, most=3, pace=Pace(60, 1, 1))
    assert left.further == pytest.approx(100 * 10 / 40)


def test_hours_are_whole_and_without_gaps(session, project, ana):
    now = database_now(session)
    assert len(shift.by_hour([], now=now)) == 25
    assert {number for _, number in shift.by_hour([], now=now)} == {0}


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ({"seconds": 45}, "45 s"),
        ({"minutes": 12}, "12 min"),
        ({"hours": 3, "minutes": 5}, "3 h 5 min"),
        ({"hours": 3}, "3 h"),
        ({"days": 3}, "3 days"),
        ({"seconds": -5}, "0 s"),
    ],
)
def test_spans_in_words(span, words):
    assert ago(timedelta(**span)) == words


def test_numbers_in_words():
    assert [some(n, "task") for n in (0, 1, 1240)] == ["0 tasks", "1 task", "1,240 tasks"]
    assert [hours(n) for n in (0.001, 0.5, 2.24, 14)] == [
        "less than a minute", "about 30 minutes", "about 2.2 hours", "about 14 hours",
    ]  # fmt: skip
