"""A person's own progress: hers alone, honest, and silent about gold."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.annotation.models import Annotation
from app.projects.models import Membership
from app.quality.rules import progress as rules
from app.tasks.models import Assignment, AssignmentState, SkipReason
from tests.factories import make_annotation, make_task, make_user

NOW = datetime(2026, 3, 18, 15, tzinfo=UTC)  # a Wednesday
LAST_WEEK = datetime(2026, 3, 12, 9, tzinfo=UTC)


@pytest.fixture
def at(clock):
    clock.now = NOW
    return clock


@pytest.fixture
def progress(at, api, ana, project):
    def of(user=ana):
        return api(user).get("/api/v1/me/progress", params={"project": str(project.id)})

    return of


def judged(session, project, user, *, others=(), ranks=(1, 2), at=NOW, **fields):
    """A task that she judged; each of `others` is (person, ranks)."""
    task = make_task(session, project, wanted=9)
    make_annotation(session, task, user, ranks=list(ranks), submitted_at=at, **fields)
    for other, theirs in others:
        make_annotation(session, task, other, ranks=list(theirs), submitted_at=at)
    return task


def corrected(session, task, user, *, ranks, at):
    """The last revision of her judgement of a task, replaced."""
    before = session.scalars(
        select(Annotation).where(
            Annotation.task_id == task.id, Annotation.user_id == user.id, Annotation.is_current
        )
    ).one()
    before.is_current = False
    session.flush()
    same = ("project_id", "task_id", "assignment_id", "user_id", "guidelines_version", "counted")
    kept = {name: getattr(before, name) for name in same}
    revision = before.revision + 1
    session.add(Annotation(**kept, revision=revision, ranks=ranks, submitted_at=at))


def test_the_figures_of_today_of_the_week_and_in_all(session, project, ana, rui, progress):
    judged(session, project, ana, active_ms=10_000)
    judged(session, project, ana, active_ms=30_000, ranks=(1, 1))
    judged(session, project, ana, active_ms=20_000, at=NOW - timedelta(days=1))
    judged(session, project, ana, active_ms=99_000, at=LAST_WEEK)
    judged(session, project, rui, active_ms=1_000)  # not hers
    skipped = make_task(session, project)
    session.add(
        Assignment(
            project_id=project.id,
            task_id=skipped.id,
            user_id=ana.id,
            state=AssignmentState.SKIPPED,
            skip_reason=SkipReason.LANGUAGE,
            display_order=[0, 1],
            finished_at=NOW,
        )
    )
    session.commit()
    told = progress().json()
    today = {"done": 2, "skipped": 1, "seconds": 40, "median_seconds": 20.0, "tie_share": 0.5}
    assert told["today"] == today
    assert (told["week"]["done"], told["week"]["seconds"]) == (3, 60)
    assert (told["all"]["done"], told["all"]["median_seconds"]) == (4, 25.0)
    assert told["skip_reasons"] == {"I do not know the language well enough": 1}
    days = {each["day"]: (each["done"], each["median_seconds"]) for each in told["days"]}
    assert len(days) == rules.DAYS_SHOWN
    assert (days["2026-03-18"], days["2026-03-17"]) == ((2, 20.0), (1, 20.0))
    assert days["2026-03-16"] == (0, None)


def test_agreement_waits_for_the_end_of_the_week_and_for_enough_tasks(
    session, project, ana, rui, progress
):
    for number in range(20):
        theirs = (1, 2) if number < 15 else (2, 1)
        judged(session, project, ana, others=[(rui, theirs)], at=LAST_WEEK)
        judged(session, project, ana, others=[(rui, (1, 2))], at=NOW)
    judged(session, project, ana, others=[(rui, (1, 2))], at=LAST_WEEK - timedelta(weeks=1))
    judged(session, project, ana, at=LAST_WEEK)  # nobody else has judged it
    session.commit()
    newest, before = progress().json()["weeks"][:2]
    assert newest == {"monday": "2026-03-09", "tasks": 20, "agreement": 0.75, "reason": None}
    assert (before["tasks"], before["agreement"]) == (1, None)
    assert before["reason"] == "1 of at least 20 tasks"


def test_gold_and_repeats_and_what_comes_later_move_no_agreement(
    session, project, ana, rui, progress
):
    for _ in range(20):
        judged(session, project, ana, others=[(rui, (1, 2))], at=LAST_WEEK)
    session.commit()
    first = progress().json()["weeks"]
    for _ in range(3):
        gold = make_task(session, project, prefers=[[0, 1]])
        for person in (ana, rui):
            make_annotation(session, gold, person, ranks=[2, 1], submitted_at=LAST_WEEK)
    task = judged(session, project, ana, at=LAST_WEEK)
    make_annotation(session, task, rui, ranks=[2, 1], submitted_at=NOW)  # this week
    session.commit()
    assert progress().json()["weeks"] == first


def test_a_correction_moves_no_figure_of_a_week_that_is_over(
    session, project, ana, rui, progress, at
):
    """A correction of gold never does, so she would see what was gold, now or a week later."""
    for number in range(21):
        theirs = (1, 2) if number < 15 else (2, 1)
        task = judged(session, project, ana, others=[(rui, theirs)], at=LAST_WEEK)
    corrected(session, task, ana, ranks=[2, 1], at=LAST_WEEK + timedelta(hours=1))
    session.commit()
    newest = progress().json()["weeks"][0]
    assert (newest["tasks"], newest["agreement"]) == (21, pytest.approx(16 / 21))
    corrected(session, task, ana, ranks=[1, 2], at=NOW)
    session.commit()
    assert progress().json()["weeks"][0] == newest
    at.now = NOW + timedelta(weeks=1)
    assert progress().json()["weeks"][:2] == [
        {"monday": "2026-03-16", "tasks": 0, "agreement": None, "reason": "0 of at least 20 tasks"},
        newest,
    ]
    corrected(session, task, rui, ranks=[1, 2], at=at.now)
    session.commit()
    assert progress().json()["weeks"][1] == newest


def test_it_names_no_gold_and_nobody_else(session, project, ana, rui, progress, sign_in):
    membership = session.get_one(Membership, (project.id, ana.id))
    membership.gold_seen, membership.gold_passed, membership.paused_at = 9, 2, NOW
    membership.pause_reason = "Please ask Ada."
    judged(session, project, ana, others=[(rui, (1, 2))], at=LAST_WEEK)
    session.commit()
    page = sign_in(ana).get(f"/projects/{project.id}/rank/progress")
    assert page.status_code == 200
    assert "Please ask Ada." in page.text
    for text in (page.text.split("<main")[1], progress().text):
        assert "gold" not in text.lower()
        assert "Rui" not in text
    assert progress().json()["pause_reason"] == "Please ask Ada."


def test_only_for_those_who_rank_and_of_no_other_project(progress, sam, vic):
    assert progress(sam).status_code == 404
    assert progress(vic).status_code == 403


def test_an_empty_page_says_what_will_be_there(sign_in, ana, project):
    page = sign_in(ana).get(f"/projects/{project.id}/rank/progress").text
    assert "no full week has tasks that others have judged as well" in page
    assert "<svg" not in page


def test_the_page_shows_every_day_as_bar_and_as_row(session, project, ana, at, sign_in):
    judged(session, project, ana, active_ms=48_000)
    judged(session, project, ana, active_ms=75_000, at=NOW - timedelta(days=2))
    session.commit()
    page = sign_in(ana).get(f"/projects/{project.id}/rank/progress").text
    assert page.count('class="bars-bar') == 2
    assert page.count("<tr>") == 1 + rules.DAYS_SHOWN
    assert "1 min 15 s" in page
    assert "style=" not in page


@pytest.mark.parametrize(
    ("hers", "theirs", "alike"),
    [
        ((1, 2), (1, 2), 1),
        ((1, 2), (2, 1), 0),
        ((1, 1), (1, 2), 0),
        ((1, 2, 3), (1, 3, 2), 2 / 3),
        ((1, 1, 3), (1, 1, 3), 1),
    ],
)
def test_two_rankings_are_alike_as_far_as_their_pairs_are(hers, theirs, alike):
    assert rules.likeness(hers, theirs) == pytest.approx(alike)


def test_a_task_that_many_have_judged_weighs_no_more():
    moment, same, other = LAST_WEEK, (1, 2), (2, 1)
    shared = [(moment, "one", same, same)] + [(moment, "two", same, other)] * 9
    assert rules.weekly_agreement(shared) == {datetime(2026, 3, 9, tzinfo=UTC): (2, 0.5)}


def test_her_own_pace_stands_over_the_task_once_there_is_one(session, project, ana, sign_in):
    make_task(session, project)
    for number in range(4):
        judged(session, project, ana, active_ms=1_000 * (number + 40))
    session.commit()
    browser = sign_in(ana)
    rank = f"/projects/{project.id}/rank"
    assert "each</span>" not in browser.get(rank).text
    judged(session, project, make_user(session, "Bea"), active_ms=1)
    judged(session, project, ana, active_ms=44_000)
    session.commit()
    assert "42 s each" in browser.get(rank).text
