"""What answers to questions are not, and what becomes of them when a key changes."""

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEvent, Role
from app.annotation import service
from app.annotation.models import Annotation
from app.annotation.schemas import ImportedJudgement
from app.datasets.queries import judged_prompts
from app.datasets.rules.judged import Admission
from app.db import database_now
from app.projects.models import Standing
from app.quality.queries.crowd import crowd_of
from app.tasks import service as tasks
from app.tasks.models import (
    Assignment,
    QualificationAttempt,
    Task,
    TaskKind,
)
from app.tasks.queries import responses_of
from tests.annotation.qualification.conftest import hers, kind_of
from tests.factories import make_annotation, make_member, make_question, make_task, make_user


class TestWhatAnswersAreNot:
    @pytest.mark.usefixtures("asks")
    def test_they_are_no_work_of_hers(self, ana, works, sits):
        worker = works(ana)
        sits(worker, True, False)
        progress = worker.client.get(f"/api/v1/me/progress?project={worker.project.id}").json()
        assert progress["all"]["done"] == 0

    def test_no_vote_no_gold_and_no_turn_of_the_gold_schedule(
        self, session, asks, ana, works, sits
    ):
        sits(works(ana), True, False, True)
        member = hers(session, asks, ana)
        assert (member.gold_seen, member.standing, member.claimed) == (0, Standing.GOOD, 0)
        judged = session.scalars(select(Annotation).where(Annotation.user_id == ana.id)).all()
        assert {(each.counted, each.gold_passed) for each in judged} == {(False, None)}
        questions = session.scalars(select(Task).where(Task.kind == TaskKind.QUALIFICATION))
        assert {(each.leased, each.counted, each.wanted) for each in questions} == {(0, 0, None)}

    def test_a_question_is_never_gold_and_gold_never_a_question(
        self, session, asks, ana, rui, works, sits
    ):
        asks.gold_rate = 0.5
        for number in range(3):
            make_task(
                session, asks, prompt=f"gold {number}", responses=["0", "1"], prefers=[[0, 1]]
            )
        session.commit()
        for user in (ana, rui):
            worker = works(user)
            if user is ana:
                sits(worker, True, True, True)
            while (reply := worker.claim()).status_code != 204:
                mine = reply.json()
                assert "qualification" not in mine
                assert kind_of(session, mine) is not TaskKind.QUALIFICATION
                assert set(worker.submit(mine, "A>B").json()) == {"id", "revision", "counted"}

    @pytest.mark.usefixtures("asks")
    def test_they_do_not_become_votes_when_the_question_becomes_a_task(
        self, session, ana, ada, api, works, answers, sits
    ):
        worker = works(ana)
        mine = worker.claim().json()
        answers(worker, mine)
        task = session.get(Task, session.get(Assignment, mine["id"]).task_id)
        under_way = worker.claim().json()
        for each in (task, session.get(Task, session.get(Assignment, under_way["id"]).task_id)):
            assert api(ada).delete(f"/api/v1/tasks/{each.id}/gold").status_code == 204
        session.expire_all()
        assert (task.kind, task.counted, task.leased) == (TaskKind.ORDINARY, 0, 0)
        judged = session.scalars(select(Annotation).where(Annotation.task_id == task.id)).one()
        assert (judged.counted, judged.gold_passed) == (False, None)
        # Another one takes the place of that which she held; her late answer to it is kept.
        assert worker.claim().json()["qualification"]["question"] == 2
        late = answers(worker, under_way).json()
        assert (late["counted"], late["feedback"]) == (False, None)
        assert session.scalars(select(QualificationAttempt.answered)).one() == 1
        assert sits(worker, True, True)[-1]["result"]["passed"] is True

    def test_what_was_her_question_and_unanswered_comes_again_as_real_work(
        self, session, asks, ana, ada, api, works
    ):
        worker = works(ana)
        mine = worker.claim().json()
        for task_id in session.scalars(select(Task.id).where(Task.project_id == asks.id)).all():
            api(ada).delete(f"/api/v1/tasks/{task_id}/gold")
        decide_in = {"project": asks, "user": ana, "by": ada, "now": database_now(session)}
        tasks.let_in(session, **decide_in)
        session.commit()
        had = session.get(Assignment, mine["id"])
        session.get(Task, had.task_id).priority = 9
        session.commit()
        work = worker.claim().json()
        assert (work["id"], "qualification" in work) == (mine["id"], False)
        assert worker.submit(work, "A>B").json()["counted"] is True
        assert session.get(Task, had.task_id, populate_existing=True).counted == 1

    def test_they_are_neither_in_agreement_nor_in_datasets(
        self, session, asks, ana, ada, api, works, sits
    ):
        sits(works(ana), True, True, True)
        for task_id in session.scalars(select(Task.id).where(Task.project_id == asks.id)).all():
            api(ada).delete(f"/api/v1/tasks/{task_id}/gold")
        session.expire_all()
        assert len(crowd_of(session, project=asks).judgements.task) == 0
        refused = [
            Admission().refuses(judgement)
            for prompt in judged_prompts(session, project=asks)
            for task in prompt.tasks
            for judgement in task.judgements
        ]
        assert refused == ["surplus"] * 3

    @pytest.mark.usefixtures("asks")
    def test_an_attempt_that_runs_out_of_questions_ends_with_those_she_answered(
        self, session, ana, ada, api, works, sits
    ):
        worker = works(ana)
        sits(worker, True, True)
        had = select(Assignment.task_id).where(Assignment.user_id == ana.id)
        others = session.scalars(
            select(Task.id).where(Task.kind == TaskKind.QUALIFICATION, Task.id.not_in(had))
        ).all()
        for task_id in others:
            api(ada).delete(f"/api/v1/tasks/{task_id}/gold")
        assert kind_of(session, worker.claim().json()) is TaskKind.ORDINARY
        attempt = session.scalars(select(QualificationAttempt)).one()
        assert (attempt.size, attempt.needed, attempt.passed) == (2, 2, True)


class TestTheKey:
    def test_an_admin_makes_a_task_a_question_and_gold(self, session, project, ada, ana, api):
        task = make_task(session, project, responses=["0", "1"])
        make_annotation(session, task, ana, ranks=[1, 2])
        session.commit()
        names = [str(each) for each in responses_of(session, task_ids=[task.id])[task.id]]
        path = f"/api/v1/tasks/{task.id}/gold"
        body = {"prefers": [names], "explanation": "so", "qualification": True}
        assert api(ada).put(path, json=body).json()["qualification"] is True
        session.expire_all()
        judged = session.scalars(select(Annotation).where(Annotation.task_id == task.id)).one()
        assert (task.kind, task.wanted) == (TaskKind.QUALIFICATION, None)
        assert (judged.counted, judged.gold_passed) == (False, None)
        api(ada).put(path, json={"prefers": [names]})
        session.expire_all()
        assert (task.kind, judged.gold_passed) == (TaskKind.GOLD, True)
        assert hers(session, project, ana).gold_seen == 1
        api(ada).put(path, json=body)
        assert hers(session, project, ana).gold_seen == 0
        actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
        assert actions.count("qualification.set") == 2

    def test_mending_a_wrong_key_lets_in_whom_it_had_failed_and_fails_nobody(
        self, session, asks, ana, ada, api, works, sits
    ):
        asks.qualification_pass = 1.0
        new = make_user(session, "New")
        make_member(session, asks, new, Role.ANNOTATOR)
        session.commit()
        sits(works(new), True, True, True)
        assert sits(works(ana), True, True, False)[-1]["result"]["passed"] is False
        wrong = session.scalars(
            select(Assignment.task_id).where(Assignment.user_id == ana.id, Assignment.question == 3)
        ).one()
        zero, one = (str(each) for each in responses_of(session, task_ids=[wrong])[wrong])
        body = {"prefers": [[one, zero]], "qualification": True}
        assert api(ada).put(f"/api/v1/tasks/{wrong}/gold", json=body).status_code == 200
        assert hers(session, asks, ana).qualified_at is not None
        assert hers(session, asks, new).qualified_at is not None
        attempt = session.query(QualificationAttempt).filter_by(user_id=ana.id).one()
        assert (attempt.correct, attempt.passed) == (3, True)

    @pytest.mark.usefixtures("asks")
    def test_a_key_that_was_away_meanwhile_scores_answers_once(
        self, session, ana, ada, api, works, sits
    ):
        sits(works(ana), True)
        had = session.scalars(select(Assignment.task_id).where(Assignment.user_id == ana.id)).one()
        zero, one = (str(each) for each in responses_of(session, task_ids=[had])[had])
        path = f"/api/v1/tasks/{had}/gold"
        for better, worse, correct in ((one, zero, 0), (zero, one, 1)):
            api(ada).delete(path)
            body = {"prefers": [[better, worse]], "qualification": True}
            assert api(ada).put(path, json=body).status_code == 200
            session.expire_all()
            attempt = session.query(QualificationAttempt).filter_by(user_id=ana.id).one()
            assert (attempt.answered, attempt.correct) == (1, correct)
            assert api(ada).put(path, json=body).status_code == 200

    def test_mending_a_key_leaves_alone_what_did_not_decide(
        self, session, asks, ana, ada, api, works, answers
    ):
        """She was let in with the question on her screen, and answered it all the same."""
        worker = works(ana)
        mine = worker.claim().json()
        tasks.let_in(session, project=asks, user=ana, by=ada, now=database_now(session))
        session.commit()
        answers(worker, mine, right=False)
        had = session.get(Assignment, mine["id"]).task_id
        zero, one = (str(each) for each in responses_of(session, task_ids=[had])[had])
        body = {"prefers": [[one, zero]], "qualification": True}
        assert api(ada).put(f"/api/v1/tasks/{had}/gold", json=body).status_code == 200
        assert hers(session, asks, ana).qualified_at is not None

    def test_judgements_that_come_with_data_are_no_votes_either(self, session, asks):
        task = session.scalars(
            select(Task).where(Task.project_id == asks.id, Task.kind == TaskKind.QUALIFICATION)
        ).first()
        service.record_imported(
            session,
            project=asks,
            judgements=[ImportedJudgement(task.id, "Kim", [1, 2])],
            now=database_now(session),
        )
        judged = session.scalars(select(Annotation).where(Annotation.task_id == task.id)).one()
        assert (judged.counted, judged.gold_passed) == (False, None)

    def test_a_partial_key_tells_its_parts_and_leaves_the_rest_free(
        self, session, project, ana, works
    ):
        project.qualification_size = 1
        make_question(session, project, responses=["0", "1", "2"], prefers=[[0, 1]], equal=[[1, 2]])
        session.commit()
        worker = works(ana)
        mine = worker.claim().json()
        zero, one, two = (
            next(each["label"] for each in mine["responses"] if each["text"] == text)
            for text in "012"
        )
        feedback = worker.submit(mine, [[zero], [two, one]]).json()["feedback"]
        assert feedback["right"] is True
        assert feedback["expected"]["order"] == [[zero], sorted([one, two])]
        assert feedback["expected"]["better"] == [[zero, one]]
        assert feedback["expected"]["equal"] == [sorted([one, two])]
