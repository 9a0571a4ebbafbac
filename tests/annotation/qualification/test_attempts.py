"""Qualification before real work: asked openly, told at once, never a vote."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEvent, Role
from app.db import database_now
from app.projects.models import Membership
from app.tasks import service as tasks
from app.tasks.models import (
    Assignment,
    AssignmentState,
    GoldKey,
    QualificationAttempt,
    Task,
    TaskKind,
    TaskLane,
)
from tests.annotation.qualification.conftest import hers, kind_of
from tests.factories import make_annotation, make_member, make_question, make_task, make_user


def decide(browser, project, user, decision):
    path = f"/projects/{project.id}/members/{user.id}/qualification"
    return browser.post(path, data={"decision": decision})


class TestAnAttempt:
    def test_she_gets_questions_and_nothing_else_until_she_has_passed(
        self, session, asks, ana, works, answers
    ):
        worker = works(ana)
        for number in (1, 2, 3):
            claimed = worker.claim()
            mine = claimed.json()
            assert claimed.status_code == 201
            assert mine["qualification"] == {"question": number, "of": 3, "attempt": 1}
            assert kind_of(session, mine) is TaskKind.QUALIFICATION
            assert worker.claim().json()["id"] == mine["id"]  # a reload changes nothing
            answers(worker, mine)
        assert hers(session, asks, ana).qualified_at is not None
        work = worker.claim().json()
        assert "qualification" not in work
        assert kind_of(session, work) is TaskKind.ORDINARY

    @pytest.mark.usefixtures("asks")
    def test_each_answer_is_told_right_or_not_and_why_in_her_labels(self, ana, works, sits):
        first, second, third = sits(works(ana), True, False, True)
        assert [each["right"] for each in (first, second, third)] == [True, False, True]
        for feedback, number in ((first, 1), (second, 2), (third, 3)):
            assert feedback["question"] == number
            assert feedback["explanation"] == "Zero is right."
            (better, worse) = feedback["expected"]["better"][0]
            assert feedback["expected"]["order"] == [[better], [worse]]
            assert (feedback["ranking"] == [[better], [worse]]) is feedback["right"]
        assert "result" not in first
        assert "result" not in second
        assert third["result"] == {"passed": True, "correct": 2, "of": 3, "needed": 2}

    @pytest.mark.usefixtures("asks")
    def test_nothing_comes_before_the_feedback(self, ana, works, answers):
        worker = works(ana)
        mine = worker.claim().json()
        assert worker.claim(after=mine["id"]).status_code == 204
        reply = answers(worker, mine, query="?next=true&html=true").json()
        assert reply["next"] is None
        assert reply["feedback"]["right"] is True

    @pytest.mark.usefixtures("asks")
    def test_even_the_last_answer_brings_no_work_before_its_feedback(
        self, ana, works, sits, answers
    ):
        worker = works(ana)
        sits(worker, True, True)
        reply = answers(worker, worker.claim().json(), query="?next=true").json()
        assert reply["feedback"]["result"]["passed"] is True
        assert reply["next"] is None

    @pytest.mark.usefixtures("asks")
    def test_the_same_key_twice_is_one_answer_with_one_feedback(self, session, ana, works, answers):
        worker = works(ana)
        mine = worker.claim().json()
        replies = [answers(worker, mine, right=False, key="k") for _ in range(2)]
        assert [reply.status_code for reply in replies] == [201, 200]
        assert replies[0].json() == replies[1].json()
        attempt = session.scalars(select(QualificationAttempt)).one()
        assert (attempt.answered, attempt.correct) == (1, 0)

    @pytest.mark.usefixtures("asks")
    def test_an_answer_cannot_be_changed_once_its_feedback_is_seen(
        self, session, ana, works, answers
    ):
        worker = works(ana)
        mine = worker.claim().json()
        answers(worker, mine, right=False)
        reply = answers(worker, mine, right=True, revision=1)
        assert reply.status_code == 409
        assert "you have seen what was right" in reply.json()["detail"]
        assert session.scalars(select(QualificationAttempt.correct)).one() == 0

    @pytest.mark.usefixtures("asks")
    def test_a_question_is_not_skipped_and_comes_back_when_it_was_given_back(
        self, session, ana, works, clock
    ):
        worker = works(ana)
        mine = worker.claim().json()
        refused = worker.post(mine, "skip", reason="unclear")
        assert refused.status_code == 409
        assert "cannot be skipped" in refused.json()["detail"]
        worker.draft(mine, revision=1, rationale="half a thought")
        worker.post(mine, "release")
        again = worker.claim().json()
        assert (again["id"], again["draft"]["rationale"]) == (mine["id"], "half a thought")
        assert again["responses"] == mine["responses"]
        clock.advance(hours=5)
        assert worker.claim().json()["id"] == mine["id"]
        assert session.query(Assignment).filter_by(user_id=ana.id).count() == 1

    @pytest.mark.usefixtures("asks")
    def test_an_answer_after_the_lease_ran_out_is_taken(self, session, ana, works, answers, clock):
        worker = works(ana)
        mine = worker.claim().json()
        worker.post(mine, "release")
        clock.advance(hours=2)
        assert answers(worker, mine).json()["feedback"]["right"] is True
        assert session.scalars(select(QualificationAttempt.answered)).one() == 1
        assert worker.claim().json()["qualification"]["question"] == 2

    def test_a_change_of_settings_does_not_touch_what_is_under_way(
        self, session, asks, ana, works, sits
    ):
        worker = works(ana)
        sits(worker, True)
        asks.qualification_size, asks.qualification_pass = 9, 1.0
        session.commit()
        assert sits(worker, True, False)[-1]["result"]["passed"] is True


class TestAnotherAttempt:
    def test_waits_then_asks_what_is_new_to_her(self, session, asks, ana, works, sits, clock):
        worker = works(ana)
        result = sits(worker, False, True, False)[-1]["result"]
        assert result == {"passed": False, "correct": 1, "of": 3, "needed": 2}
        assert hers(session, asks, ana).qualified_at is None
        assert worker.claim().status_code == 204
        clock.advance(hours=23)
        assert worker.claim().status_code == 204
        clock.advance(hours=2)
        assert worker.claim().json()["qualification"]["attempt"] == 2
        sits(worker, True, True, True)
        had = session.scalars(select(Assignment.task_id).where(Assignment.user_id == ana.id)).all()
        assert len(had) == len(set(had)) == 6
        assert hers(session, asks, ana).qualified_at is not None

    def test_may_come_at_once(self, session, asks, ana, works, sits):
        asks.qualification_wait_hours = 0
        session.commit()
        worker = works(ana)
        sits(worker, False, False, False)
        assert worker.claim().json()["qualification"] == {"question": 1, "of": 3, "attempt": 2}

    def test_ends_with_those_allowed_until_an_admin_allows_one_more(
        self, session, asks, ana, ada, works, sits, sign_in
    ):
        asks.qualification_attempts = 1
        session.commit()
        worker = works(ana)
        sits(worker, False, False, False)
        assert worker.claim().status_code == 204
        admin = sign_in(ada)
        for _ in range(2):  # twice is once
            assert decide(admin, asks, ana, "allow").status_code == 303
        assert worker.claim().json()["qualification"]["attempt"] == 2  # and does not wait
        sits(worker, False, False, False)
        assert worker.claim().status_code == 204
        noted = session.scalars(select(AuditEvent.action)).all()
        assert noted.count("qualification.allow") == 1

    def test_needs_enough_questions_that_are_new_to_her(self, session, asks, ana, works, sits):
        asks.qualification_size, asks.qualification_wait_hours = 5, 0
        session.commit()
        worker = works(ana)
        sits(worker, *[False] * 5)
        assert worker.claim().status_code == 204


class TestPrograms:
    def test_let_somebody_in_by_the_api(self, session, asks, ana, ada, works, api):
        address = f"/api/v1/projects/{asks.id}/members/{ana.id}/qualification"
        assert api(ana).post(address, json={"decision": "let_in"}).status_code == 403
        assert api(ada).post(address, json={"decision": "maybe"}).status_code == 422
        assert "qualification" in works(ana).claim().json()
        assert api(ada).post(address, json={"decision": "let_in"}).status_code == 204
        assert hers(session, asks, ana).qualified_at is not None
        assert api(ada).post(address, json={"decision": "ask_again"}).status_code == 204
        assert hers(session, asks, ana).qualified_at is None


class TestWhoIsAsked:
    def test_not_reviewers_admins_nor_anybody_where_nothing_is_asked(
        self, session, asks, ana, rui, ada, works
    ):
        for user in (rui, ada):
            assert "qualification" not in works(user).claim().json()
        asks.qualification_size = 0
        session.commit()
        assert "qualification" not in works(ana).claim().json()

    def test_nobody_who_had_judged_when_it_was_switched_on(
        self, session, project, ana, ada, works, api
    ):
        done = make_task(session, project, wanted=2)
        make_annotation(session, done, ana, ranks=[1, 2])
        new = make_user(session, "New")
        make_member(session, project, new, Role.ANNOTATOR)
        make_task(session, project, prompt="work", wanted=2)
        make_question(session, project)
        session.commit()
        body = {"qualification": {"size": 1}}
        reply = api(ada).patch(f"/api/v1/projects/{project.id}", json=body)
        assert reply.json()["qualification"] == {
            "size": 1,
            "pass_mark": 0.8,
            "attempts": 2,
            "wait_hours": 24,
        }
        assert "qualification" not in works(ana).claim().json()
        assert works(new).claim().json()["qualification"]["of"] == 1

    def test_switching_it_off_gives_real_work_at_once(self, session, asks, ana, works):
        worker = works(ana)
        mine = worker.claim().json()
        asks.qualification_size = 0
        session.commit()
        work = worker.claim().json()
        assert kind_of(session, work) is TaskKind.ORDINARY
        assert session.get(Assignment, mine["id"]).state is AssignmentState.EXPIRED

    def test_letting_her_in_gives_real_work_at_once_and_is_noted(
        self, session, asks, ana, ada, works, answers, sign_in
    ):
        worker = works(ana)
        mine = worker.claim().json()
        for _ in range(2):
            decide(sign_in(ada), asks, ana, "let_in")
        assert kind_of(session, worker.claim().json()) is TaskKind.ORDINARY
        assert answers(worker, mine).json()["feedback"]["right"] is True  # her work is kept
        attempt = session.scalars(select(QualificationAttempt)).one()
        assert (attempt.passed, attempt.answered) == (None, 0)
        assert session.scalars(select(AuditEvent.action)).all().count("qualification.let_in") == 1

    def test_asking_again_ends_real_work_and_begins_anew(
        self, session, asks, ana, ada, works, sits, sign_in
    ):
        worker = works(ana)
        sits(worker, True, True, True)
        work = worker.claim().json()
        decide(sign_in(ada), asks, ana, "ask_again")
        asked = worker.claim().json()
        assert asked["qualification"] == {"question": 1, "of": 3, "attempt": 2}
        session.expire_all()
        left = session.get(Assignment, work["id"])
        assert left.state is AssignmentState.EXPIRED
        assert session.get(Task, left.task_id).leased == 0

    def test_only_admins_decide(self, asks, ana, rui, sam, sign_in):
        for user, status in ((ana, 403), (rui, 403), (sam, 404)):
            assert decide(sign_in(user), asks, ana, "let_in").status_code == status

    def test_a_paused_person_gets_no_question(self, session, asks, ana, works):
        hers(session, asks, ana).paused_at = database_now(session)
        session.commit()
        assert works(ana).claim().status_code == 204

    def test_only_what_the_person_may_judge(self, session, project, ana, ada, works, sign_in):
        """Nobody is asked openly, and without a skip, in a language that she does not read."""
        project.qualification_size = 2
        lane = TaskLane(project_id=project.id, key="fr", language="fr")
        session.add(lane)
        french = [make_question(session, project, prompt=f"Question {n} ?") for n in range(2)]
        for task in french:
            task.lane = lane.key
        hers = session.get_one(Membership, (project.id, ana.id))
        hers.languages = ["de"]
        session.commit()
        assert works(ana).claim().status_code == 204
        page = sign_in(ana).get(f"/projects/{project.id}/rank").text
        assert "too few in your languages and fields" in page
        path = f"/projects/{project.id}/annotators"
        assert "1 annotator has fewer questions" in sign_in(ada).get(path).text
        hers.languages = ["de", "fr"]
        session.commit()
        assert works(ana).claim().json()["qualification"]["of"] == 2
        assert "fewer questions" not in sign_in(ada).get(path).text
        session.get_one(GoldKey, french[0].id).suspended_at = database_now(session)
        session.commit()
        assert "The qualification has 1 question, and an attempt" in sign_in(ada).get(path).text

    def test_a_set_that_is_too_small_waits_without_an_error(self, session, project, ana, works):
        project.qualification_size = 2
        make_question(session, project)
        make_task(session, project)
        session.commit()
        assert works(ana).claim().status_code == 204


def test_the_history_shows_answers_as_what_they_are(asks, ana, works, sits, sign_in):
    worker = works(ana)
    sits(worker, True)
    (item,) = worker.client.get("/api/v1/me/annotations").json()["items"]
    assert (item["qualification"], item["counted"]) == (True, False)
    page = sign_in(ana).get(f"/projects/{asks.id}/rank/history").text
    assert "· qualification" in page
    assert ">Change<" not in page
    assert "came too late" not in page


def test_questions_come_in_another_order_for_everybody(session, asks, works):
    seen = set()
    for number in range(6):
        user = make_user(session, f"Person {number}")
        make_member(session, asks, user, Role.ANNOTATOR)
        session.commit()
        assignment = works(user).claim().json()
        seen.add(session.get(Assignment, assignment["id"]).task_id)
    assert len(seen) > 1  # one in 59,049 that all six begin alike


def test_an_ended_lease_of_a_question_is_freed_by_others(session, asks, ana, works, clock):
    worker = works(ana)
    mine = worker.claim().json()
    later = clock.advance(hours=3)
    tasks.free_expired(session, project=asks, but=make_user(session, "Other"), now=later)
    session.expire_all()
    row = session.get(Assignment, mine["id"])
    assert row.state is AssignmentState.EXPIRED
    assert row.leased_until < later - timedelta(hours=2)
