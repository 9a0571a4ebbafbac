"""A key is withdrawn or upheld, and standings and attempts follow it, both ways."""

import pytest

from app.accounts.models import AuditEvent
from app.annotation.service import restore_gold, withdraw_gold
from app.annotation.service.gold import restand, standing_after
from app.annotation.service.submitting import PAUSED_BECAUSE
from app.db import database_now
from app.errors import Conflict, Invalid
from app.projects.models import MemberMessage, Membership, Standing
from app.quality.service.review import suspend_disputed_gold
from app.tasks import service as tasks
from app.tasks.models import Appeal, Assignment, GoldKey, Outcome, QualificationAttempt
from app.tasks.queries import appeal_of, responses_of
from tests.factories import make_annotation, make_member, make_question, make_task, make_user


@pytest.fixture
def about(session, project, ada):
    return {"project": project, "by": ada, "now": database_now(session)}


def membership(session, project, user):
    return session.get(Membership, (project.id, user.id), populate_existing=True)


def golds(session, project, user, *, passed):
    """Gold that she has answered so."""
    made = []
    for right in passed:
        task = make_task(session, project, prefers=[[0, 1]])
        ranks = [1, 2] if right else [2, 1]
        make_annotation(session, task, user, ranks=ranks, gold_passed=right)
        made.append(task)
    restand(session, project=project, user_ids=[user.id])
    return made


class TestHiddenGold:
    def test_every_score_is_corrected_and_comes_back(self, session, project, ana, about):
        made = golds(session, project, ana, passed=[False] * 6 + [True] * 2)
        before = membership(session, project, ana)
        assert (before.standing, before.gold_seen, before.gold_passed) == (Standing.FAILED, 8, 2)
        assert before.gold_share is not None
        for task in made[:6]:
            withdraw_gold(session, task=task, reason="Both are right.", **about)
        now = membership(session, project, ana)
        assert (now.standing, now.gold_seen, now.gold_passed) == (Standing.GOOD, 2, 2)
        assert now.gold_share is None
        for task in made[:6]:
            restore_gold(session, task=task, **about)
        now = membership(session, project, ana)
        after = standing_after(project, seen=8, passed=2)
        assert {name: getattr(now, name) for name in after} == after

    def test_a_pause_stays_until_an_admin_lifts_it(self, session, project, ana, about):
        (task, *_) = golds(session, project, ana, passed=[False] * 5)
        hers = membership(session, project, ana)
        hers.paused_at, hers.pause_reason = about["now"], PAUSED_BECAUSE
        withdraw_gold(session, task=task, reason="Wrong.", **about)
        hers = membership(session, project, ana)
        assert (hers.standing, hers.pause_reason) == (Standing.WARNED, PAUSED_BECAUSE)
        assert hers.paused_at is not None

    def test_twice_is_once_and_both_are_logged_with_the_reason(self, session, project, ana, about):
        (task,) = golds(session, project, ana, passed=[True])
        for _ in range(2):
            withdraw_gold(session, task=task, reason=" Both are right. ", **about)
        key = session.get(GoldKey, task.id, populate_existing=True)
        assert (key.suspended_at, key.suspend_reason) == (about["now"], "Both are right.")
        for _ in range(2):
            restore_gold(session, task=task, **about)
        events = session.query(AuditEvent).filter_by(project_id=project.id).order_by(AuditEvent.id)
        assert [(event.action, event.details) for event in events] == [
            ("gold.suspend", {"reason": "Both are right."}),
            ("gold.restore", {}),
        ]

    def test_a_reason_is_needed_and_a_key(self, session, project, ana, about):
        (task,) = golds(session, project, ana, passed=[True])
        with pytest.raises(Invalid, match="Say in a sentence"):
            withdraw_gold(session, task=task, reason=" ", **about)
        ordinary = make_task(session, project)
        with pytest.raises(Conflict, match="an ordinary task by now"):
            withdraw_gold(session, task=ordinary, reason="x", **about)

    def test_what_was_answered_meanwhile_is_scored_when_it_comes_back(
        self, session, project, ana, rui, about
    ):
        (task,) = golds(session, project, ana, passed=[True])
        withdraw_gold(session, task=task, reason="Wrong.", **about)
        make_annotation(session, task, rui, ranks=[2, 1])  # it was on her screen
        restore_gold(session, task=task, **about)
        hers = membership(session, project, rui)
        assert (hers.gold_seen, hers.gold_passed) == (1, 0)

    def test_an_upheld_key_is_in_doubt_by_later_answers_only(self, session, project, about):
        people = [make_user(session, f"Person {place}") for place in range(5)]
        task = make_task(session, project, prefers=[[0, 1]])
        for person in people:
            make_member(session, project, person, "annotator")
            make_annotation(session, task, person, ranks=[2, 1], gold_passed=False)
        now = about["now"]
        assert suspend_disputed_gold(session, project=project, now=now) == [task.id]
        key = session.get(GoldKey, task.id, populate_existing=True)
        assert key.suspend_reason == "5 of 5 annotators in good standing answer otherwise."
        restore_gold(session, task=task, **about)
        assert suspend_disputed_gold(session, project=project, now=now) == []
        assert session.get(GoldKey, task.id, populate_existing=True).suspended_at is None


@pytest.fixture
def attempt(session, project, ana, about):
    """Ana's attempt of four questions, two answered rightly; three of four pass."""
    project.qualification_size, project.qualification_pass = 4, 0.6
    made = QualificationAttempt(
        project_id=project.id,
        user_id=ana.id,
        number=1,
        size=4,
        needed=3,
        answered=4,
        correct=2,
        passed=False,
        finished_at=about["now"],
    )
    session.add(made)
    session.flush()
    made.questions = []
    for number in range(4):
        task = make_question(session, project, prompt=f"q{number}")
        ranks = [1, 2] if number < 2 else [2, 1]
        answer = make_annotation(session, task, ana, ranks=ranks)
        held = session.get(Assignment, answer.assignment_id)
        held.attempt_id, held.question = made.id, number + 1
        made.questions.append(task)
    session.flush()
    return made


class TestQuestions:
    def test_an_attempt_that_passes_without_the_question_lets_her_in(
        self, session, project, ana, attempt, about
    ):
        withdraw_gold(session, task=attempt.questions[3], reason="Unclear.", **about)
        assert (attempt.size, attempt.correct, attempt.needed) == (3, 2, 2)
        assert attempt.passed is True
        assert membership(session, project, ana).qualified_at is not None
        restore_gold(session, task=attempt.questions[3], **about)
        session.refresh(attempt)
        assert (attempt.size, attempt.correct, attempt.needed) == (4, 2, 3)
        assert attempt.passed is True  # nobody who has passed fails afterwards
        assert membership(session, project, ana).qualified_at is not None

    def test_one_that_does_not_stays_failed(self, session, project, ana, attempt, about):
        withdraw_gold(session, task=attempt.questions[0], reason="Unclear.", **about)
        assert (attempt.size, attempt.correct, attempt.needed) == (3, 1, 2)
        assert attempt.passed is False
        assert membership(session, project, ana).qualified_at is None

    def test_one_with_nothing_left_is_given_back(self, session, project, ana, attempt, about):
        for task in attempt.questions[:2]:
            withdraw_gold(session, task=task, reason="Unclear.", **about)
        assert attempt.passed is False
        for task in attempt.questions[2:]:
            withdraw_gold(session, task=task, reason="Unclear.", **about)
        assert (attempt.passed, attempt.size) == (None, 0)
        assert membership(session, project, ana).attempts_granted == 2

    def test_one_under_way_gets_another_question_instead(self, session, attempt, about):
        attempt.finished_at = attempt.passed = None
        attempt.size, attempt.needed = 6, 4
        withdraw_gold(session, task=attempt.questions[1], reason="Unclear.", **about)
        assert (attempt.size, attempt.answered, attempt.correct) == (6, 3, 1)
        restore_gold(session, task=attempt.questions[1], **about)
        session.refresh(attempt)
        assert (attempt.answered, attempt.correct, attempt.passed) == (4, 2, None)

    def test_a_corrected_key_counts_again_after_it_was_withdrawn(
        self, session, ada, attempt, about, api
    ):
        task = attempt.questions[3]
        withdraw_gold(session, task=task, reason="It is the other way round.", **about)
        first, second = (str(each) for each in responses_of(session, task_ids=[task.id])[task.id])
        session.commit()
        body = {"prefers": [[second, first]], "qualification": True}
        assert api(ada).put(f"/api/v1/tasks/{task.id}/gold", json=body).status_code == 200
        session.refresh(attempt)
        assert (attempt.size, attempt.correct, attempt.passed) == (4, 3, True)


class TestAppeals:
    def assignment(self, session, attempt, ana, place=3):
        task = attempt.questions[place]
        return session.query(Assignment).filter_by(task_id=task.id, user_id=ana.id).one()

    def test_one_open_appeal_per_question_and_person(self, session, project, ana, attempt):
        where = {"project": project, "user": ana}
        mine = self.assignment(session, attempt, ana)
        tasks.appeal_question(session, assignment=mine, body=" Both work. ", **where)
        with pytest.raises(Conflict, match="nobody has answered yet"):
            tasks.appeal_question(session, assignment=mine, body="Really!", **where)
        other = self.assignment(session, attempt, ana, place=2)
        tasks.appeal_question(session, assignment=other, body="This one, too.", **where)
        said = [row.body for row in session.query(Appeal).order_by(Appeal.created_at, Appeal.body)]
        assert said == ["Both work.", "This one, too."]
        for body, sentence in (("  ", "Say in a sentence"), ("x" * 2001, "longer than 2,000")):
            with pytest.raises(Invalid, match=sentence):
                tasks.appeal_question(session, assignment=mine, body=body, **where)

    def test_the_answer_reaches_her_as_a_message_once(
        self, session, project, ana, rui, attempt, about
    ):
        mine = self.assignment(session, attempt, ana)
        tasks.appeal_question(session, project=project, user=ana, assignment=mine, body="Both.")
        appeal = appeal_of(session, project=project, user=ana, task_id=mine.task_id)
        given = about | {"by": rui, "appeals": [appeal], "outcome": Outcome.STANDS}
        assert tasks.settle(session, answer="A is wrong about the time.", **given) == 1
        assert tasks.settle(session, answer="Again.", **given) == 0
        (message,) = session.query(MemberMessage).all()
        assert message.user_id == ana.id
        assert message.body == (
            "You asked us about question 4 of the qualification. We looked at it again, and the "
            "answer stands. A is wrong about the time."
        )
        assert (appeal.outcome, appeal.settled_by) == (Outcome.STANDS, rui.id)
        with pytest.raises(Conflict, match="You asked about this question before"):
            tasks.appeal_question(session, project=project, user=ana, assignment=mine, body="But!")

    def test_a_withdrawn_question_needs_no_appeal(self, session, project, ana, attempt, about):
        mine = self.assignment(session, attempt, ana)
        withdraw_gold(session, task=attempt.questions[3], reason="Unclear.", **about)
        with pytest.raises(Conflict, match="withdrawn already"):
            tasks.appeal_question(session, project=project, user=ana, assignment=mine, body="Both.")

    def test_about_a_pause_only_while_there_is_one(self, session, project, ana, about):
        where = {"project": project, "user": ana, "body": "I have read them again."}
        with pytest.raises(Conflict, match="not paused any more"):
            tasks.appeal_pause(session, **where)
        membership(session, project, ana).paused_at = about["now"]
        session.flush()
        tasks.appeal_pause(session, **where)
        with pytest.raises(Conflict, match="nobody has answered yet"):
            tasks.appeal_pause(session, **where)
        appeal = appeal_of(session, project=project, user=ana, task_id=None)
        tasks.settle(session, appeals=[appeal], outcome=Outcome.STANDS, answer="", **about)
        (message,) = session.query(MemberMessage).all()
        assert message.body == (
            "You wrote to us about your pause. We looked at it again, and your pause stays for now."
        )
        tasks.appeal_pause(session, **where)  # there may be something new
