"""Gold: set by an admin, scored in silence, with consequences."""

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEvent
from app.annotation.models import Annotation
from app.annotation.service.submitting import PAUSED_BY_RULE
from app.projects.models import Membership, Standing
from app.tasks.models import GoldKey, Task, TaskKind
from app.tasks.queries import responses_of
from tests.factories import make_annotation, make_task


@pytest.fixture
def best_first(session):
    """Submits the order zero > one > …, whatever the screen shows; or its reverse."""

    def judge(worker, mine, *, right=True, **body):
        texts = {each["text"]: each["label"] for each in mine["responses"]}
        order = sorted(texts, reverse=not right)
        return worker.submit(mine, [[texts[text]] for text in order], **body)

    return judge


def put(client, task, **body):
    return client.put(f"/api/v1/tasks/{task.id}/gold", json=body)


def ids(session, task):
    return [str(each) for each in responses_of(session, task_ids=[task.id])[task.id]]


def member(session, project, user):
    session.expire_all()
    return session.get(Membership, (project.id, user.id))


class TestSettingTheKey:
    def test_an_admin_makes_a_task_gold_and_ordinary_again(self, session, project, ada, api):
        task = make_task(session, project, responses=["a", "b", "c"], wanted=3)
        session.commit()
        a, b, c = ids(session, task)
        client = api(ada)

        for _ in range(2):  # twice is once
            reply = put(client, task, prefers=[[b, a]], equal=[[a, c]], explanation="so")
            assert reply.status_code == 200
        assert reply.json() == {
            "task_id": str(task.id),
            "prefers": [[b, a]],
            "equal": [[a, c]],
            "ties_allowed": False,
            "explanation": "so",
            "qualification": False,
        }
        session.expire_all()
        assert (task.kind, task.wanted) == (TaskKind.GOLD, None)
        assert session.get(GoldKey, task.id).prefers == [[1, 0]]

        for _ in range(2):
            assert client.delete(f"/api/v1/tasks/{task.id}/gold").status_code == 204
        session.expire_all()
        assert (task.kind, task.wanted) == (TaskKind.ORDINARY, 3)
        assert session.get(GoldKey, task.id) is None
        actions = session.query(AuditEvent.action).filter_by(project_id=project.id).all()
        assert [action for (action,) in actions].count("gold.unset") == 1

    @pytest.mark.parametrize(
        ("prefers", "equal", "sentence"),
        [
            ([[0, 1], [1, 0]], [], "run in a circle"),
            ([[0, 1], [1, 2], [2, 0]], [], "run in a circle"),
            ([[0, 1]], [[0, 1]], "run in a circle"),
            ([], [], "at least one pair"),
            ([["nobody", 0]], [], "not a response of this task"),
        ],
    )
    def test_a_key_that_nobody_can_satisfy_is_refused(
        self, session, project, ada, api, prefers, equal, sentence
    ):
        task = make_task(session, project, responses=["a", "b", "c"])
        session.commit()
        names = ids(session, task)
        named = lambda pairs: [[names[e] if isinstance(e, int) else e for e in p] for p in pairs]  # noqa: E731
        reply = put(api(ada), task, prefers=named(prefers), equal=named(equal))
        assert reply.status_code == 422
        assert sentence in reply.json()["detail"]
        session.expire_all()
        assert task.kind is TaskKind.ORDINARY

    def test_only_admins_may(self, session, project, ana, rui, sam, api):
        task = make_task(session, project)
        session.commit()
        first, second = ids(session, task)
        for user, status in ((ana, 403), (rui, 403), (sam, 404)):
            assert put(api(user), task, prefers=[[first, second]]).status_code == status
            assert api(user).delete(f"/api/v1/tasks/{task.id}/gold").status_code == status

    def test_a_key_for_a_judged_task_scores_what_is_there(
        self, session, project, ana, rui, ada, api, works, best_first
    ):
        task = make_task(session, project, responses=["0", "1"], wanted=2)
        session.commit()
        for user, right in ((ana, True), (rui, False)):
            best_first(works(user), works(user).claim().json(), right=right)
        first, second = ids(session, task)

        put(api(ada), task, prefers=[[first, second]])
        assert member(session, project, ana).gold_passed == 1
        assert member(session, project, rui).gold_seen == 1
        assert member(session, project, rui).gold_passed == 0
        assert (task.kind, task.leased, task.counted) == (TaskKind.GOLD, 0, 0)
        judged = session.query(Annotation.counted).filter_by(task_id=task.id)
        assert {counted for (counted,) in judged} == {False}

        put(api(ada), task, prefers=[[second, first]])  # it was the other way round
        assert member(session, project, ana).gold_passed == 0
        assert member(session, project, rui).gold_passed == 1

        api(ada).delete(f"/api/v1/tasks/{task.id}/gold")
        assert member(session, project, rui).gold_seen == 0
        assert (task.kind, task.counted, task.wanted) == (TaskKind.ORDINARY, 2, 2)

    def test_a_lease_under_way_survives_the_change_both_ways(
        self, session, project, ana, ada, api, works, best_first
    ):
        task = make_task(session, project, responses=["0", "1"])
        session.commit()
        worker = works(ana)
        mine = worker.claim().json()
        first, second = ids(session, task)
        put(api(ada), task, prefers=[[first, second]])
        api(ada).delete(f"/api/v1/tasks/{task.id}/gold")
        session.expire_all()
        assert (task.leased, task.counted, task.wanted) == (1, 0, 1)
        put(api(ada), task, prefers=[[first, second]])
        assert best_first(worker, mine).json()["counted"] is True  # as she may know it
        assert member(session, project, ana).gold_passed == 1


class TestScoring:
    @pytest.fixture(autouse=True)
    def gold(self, session, project):
        project.gold_rate = 0.5
        make_task(session, project, prompt="ordinary", responses=["0", "1"], wanted=50)
        for number in range(9):
            make_task(session, project, prompt=f"g{number}", responses=["0", "1"], prefers=[[0, 1]])
        session.commit()

    def work(self, session, worker, best_first, *, right, until):
        """Work until so many gold answers are in; everything else is judged as well."""
        replies = []
        while member(session, worker.project, worker.user).gold_seen < until:
            make_task(session, worker.project, prompt=str(len(replies)), responses=["0", "1"])
            session.commit()
            mine = worker.claim()
            if mine.status_code == 204:
                break
            replies.append(best_first(worker, mine.json(), right=right).json())
        return replies

    @pytest.fixture
    def worker(self, works, ana):
        worker = works(ana)
        worker.user = ana
        return worker

    def test_right_answers_leave_her_in_good_standing(
        self, session, project, ana, worker, best_first
    ):
        self.work(session, worker, best_first, right=True, until=6)
        hers = member(session, project, ana)
        assert (hers.gold_seen, hers.gold_passed) == (6, 6)
        assert (hers.standing, hers.gold_share, hers.paused_at) == (Standing.GOOD, None, None)

    def test_wrong_ones_warn_then_pause_from_the_fifth_on(
        self, session, project, ana, worker, best_first
    ):
        self.work(session, worker, best_first, right=False, until=4)
        hers = member(session, project, ana)
        assert (hers.standing, hers.gold_share) == (Standing.WARNED, 0.5)
        assert hers.paused_at is None
        self.work(session, worker, best_first, right=False, until=5)
        hers = member(session, project, ana)
        assert (hers.standing, hers.gold_seen, hers.gold_passed) == (Standing.FAILED, 5, 0)
        assert hers.paused_at is not None
        assert worker.claim().status_code == 204

    def test_a_pause_by_the_rule_is_written_down_once(
        self, session, project, ana, worker, best_first
    ):
        told = select(AuditEvent).where(AuditEvent.action == PAUSED_BY_RULE)
        self.work(session, worker, best_first, right=False, until=4)
        assert session.scalars(told).all() == []
        self.work(session, worker, best_first, right=False, until=5)
        (event,) = session.scalars(told)
        assert (event.user_id, event.project_id, event.target) == (None, project.id, ana.email)
        assert event.details == {"user_id": str(ana.id), "seen": 5, "passed": 0}

    def test_the_replies_say_nothing_of_it(self, session, worker, best_first):
        replies = self.work(session, worker, best_first, right=False, until=3)
        assert {frozenset(reply) for reply in replies} == {frozenset({"id", "revision", "counted"})}
        assert {reply["counted"] for reply in replies} == {True}

    def test_a_correction_is_scored_instead_of_what_it_corrects(
        self, session, project, ana, worker, best_first
    ):
        seen = 0
        while seen == 0:
            make_task(session, project, prompt="more", responses=["0", "1"])
            session.commit()
            mine = worker.claim().json()
            best_first(worker, mine, right=False)
            seen = member(session, project, ana).gold_seen
        assert member(session, project, ana).gold_passed == 0
        best_first(worker, mine, right=True, revision=1)
        hers = member(session, project, ana)
        assert (hers.gold_seen, hers.gold_passed) == (1, 1)

    def test_somebody_resumed_is_not_paused_again_by_a_right_answer(
        self, session, project, ana, worker, best_first
    ):
        self.work(session, worker, best_first, right=False, until=5)
        member(session, project, ana).paused_at = None
        session.commit()
        self.work(session, worker, best_first, right=True, until=6)
        assert member(session, project, ana).paused_at is None
        self.work(session, worker, best_first, right=False, until=7)
        assert member(session, project, ana).paused_at is not None


def test_gold_never_counts_as_a_judgement(session, project, ana, works, best_first):
    project.gold_rate = 0.5
    gold = make_task(session, project, responses=["0", "1"], prefers=[[0, 1]])
    session.commit()
    worker = works(ana)
    best_first(worker, worker.claim().json())
    (annotation,) = session.query(Annotation).filter_by(task_id=gold.id)
    assert (annotation.counted, annotation.gold_passed) == (False, True)
    assert session.get(Task, gold.id).counted == 0


def test_a_second_look_at_a_task_that_became_gold_says_nothing_more_of_her(
    session, project, ada, ana, api, works
):
    task = make_task(session, project, responses=["0", "1"], wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2])
    again = make_annotation(session, task, ana, ranks=[1, 2], is_repeat=True)
    session.commit()
    first, second = ids(session, task)
    assert put(api(ada), task, prefers=[[first, second]]).status_code == 200
    hers = member(session, project, ana)
    assert (hers.gold_seen, hers.gold_passed) == (1, 1)
    reply = works(ana).submit({"id": str(again.assignment_id)}, "B>A", revision=1)
    assert reply.status_code == 201, reply.text
    hers = member(session, project, ana)
    assert (hers.gold_seen, hers.gold_passed) == (1, 1)
