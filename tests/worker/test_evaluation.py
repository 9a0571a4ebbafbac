"""The worker's part of an evaluation: both write, people are asked, a reward model scores."""

import threading
import time
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from app import artifacts
from app.accounts.models import User
from app.corpus.models import Response
from app.db import JobState, transaction
from app.errors import Invalid, LeaseLost
from app.evaluation import queries, service
from app.evaluation.models import Evaluation, EvaluationPrompt, Promotion, PromotionRule
from app.evaluation.schemas import EvaluationBody
from app.evaluation.service import attempts
from app.generation.models import Endpoint
from app.jobs import Lane
from app.projects.models import Guidelines, Project
from app.runs.models import RunKind
from app.tasks.models import Task, TaskResponse
from app.worker.evaluation import evaluate_now, settle_now
from tests.factories import make_annotation, make_prompt, make_task, make_user
from tests.generation.chat_server import ChatServer
from tests.runs.factories import make_checkpoint
from tests.waiting import PATIENCE, until
from tests.worker.conftest import Workshop

pytestmark = pytest.mark.concurrency

PROMPTS = 6


class Desk:
    """A workshop with prompts, two checkpoints that write and one that scores."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        with artifacts.workspace() as space:
            (space / "model").mkdir()
            (space / "model" / "config.json").write_text("{}")
            artifacts.put_folder(space / "model", to=f"runs/{workshop.project_id}/model")
        with transaction() as session:
            project = session.get_one(Project, workshop.project_id)
            for number in range(PROMPTS):
                make_prompt(session, project, f"How many eggs are {number} eggs?")
            self.ids = {}
            for name, kind in (("a", RunKind.DPO), ("b", RunKind.SFT), ("r", RunKind.REWARD)):
                checkpoint = make_checkpoint(session, project, kind)
                checkpoint.path = f"runs/{workshop.project_id}/model"
                self.ids[name] = checkpoint.id

    def order(self, **fields: object) -> UUID:
        given = {"a": {"checkpoint": self.ids["a"]}, "b": {"checkpoint": self.ids["b"]}}
        with transaction() as session:
            return service.open_evaluation(
                session,
                project=session.get_one(Project, self.workshop.project_id),
                body=EvaluationBody.model_validate(given | fields),
                by=session.get_one(User, self.workshop.ada_id),
            ).id

    def carry_out(self, evaluation_id: UUID, stopping: threading.Event | None = None) -> Evaluation:
        evaluate_now(evaluation_id, stopping=stopping or threading.Event())
        return self.evaluation(evaluation_id)

    def evaluation(self, evaluation_id: UUID) -> Evaluation:
        with transaction() as session:
            evaluation = session.get_one(Evaluation, evaluation_id)
            session.expunge(evaluation)
            return evaluation

    def rows(self, evaluation_id: UUID) -> list[EvaluationPrompt]:
        with transaction() as session:
            rows = session.scalars(
                select(EvaluationPrompt)
                .where(EvaluationPrompt.evaluation_id == evaluation_id)
                .order_by(EvaluationPrompt.place)
            ).all()
            session.expunge_all()
            return list(rows)

    def judge(self, evaluation_id: UUID, *, a_wins: bool = True, most: int = 1000) -> None:
        """A new person judges every task that wants it, always for A or for B."""
        with transaction() as session:
            judge = make_user(session, f"Judge {time.monotonic_ns()}")
            for row in self.rows(evaluation_id)[:most]:
                task = session.get_one(Task, row.task_id)
                order = session.scalars(
                    select(TaskResponse.response_id)
                    .where(TaskResponse.task_id == task.id)
                    .order_by(TaskResponse.position)
                ).all()
                best = row.a_response_id if a_wins else row.b_response_id
                ranks = [1 if each == best else 2 for each in order]
                make_annotation(session, task, judge, ranks=ranks)


@pytest.fixture
def desk(workshop: Workshop) -> Desk:
    return Desk(workshop)


def test_both_write_and_people_are_asked(desk: Desk) -> None:
    evaluation_id = desk.order(priority=7)
    done = desk.carry_out(evaluation_id)
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    assert done.opened_at is not None
    rows = desk.rows(evaluation_id)
    assert len(rows) == PROMPTS
    with transaction() as session:
        tasks = session.scalars(select(Task)).all()
        assert {task.id for task in tasks} == {row.task_id for row in rows}
        assert {(task.wanted, task.priority) for task in tasks} == {(1, 7)}
        for row in rows:
            a = session.get_one(Response, row.a_response_id)
            b = session.get_one(Response, row.b_response_id)
            assert (a.checkpoint_id, b.checkpoint_id) == (desk.ids["a"], desk.ids["b"])
            assert a.prompt_id == b.prompt_id == row.prompt_id


def test_a_second_evaluation_of_the_same_meets_the_same_tasks(desk: Desk) -> None:
    first = desk.order()
    desk.carry_out(first)
    desk.judge(first)
    second = desk.order(judgements=3)
    desk.carry_out(second)
    assert {r.task_id for r in desk.rows(first)} == {r.task_id for r in desk.rows(second)}
    with transaction() as session:
        assert set(session.scalars(select(Task.wanted))) == {3}
        found = queries.verdict(session, evaluation=session.get_one(Evaluation, second))
        assert (found.prompts, found.win_rate) == (
            PROMPTS,
            1.0,
        )  # judged before


def test_what_the_guidelines_show_is_asked_of_nobody(desk: Desk) -> None:
    first = desk.order()
    desk.carry_out(first)
    shown = desk.rows(first)[0].task_id
    with transaction() as session:
        session.execute(update(Guidelines).values(examples=[{"task_id": str(shown)}]))
        session.execute(update(Task).where(Task.id == shown).values(closed_at=func.now(), wanted=0))
    second = desk.order(judgements=3)
    desk.carry_out(second)
    assert len({row.task_id for row in desk.rows(second)} - {None, shown}) == PROMPTS - 1
    assert shown not in {row.task_id for row in desk.rows(second)}
    with transaction() as session:
        task = session.get_one(Task, shown)
        assert (task.wanted, task.closed_at is None) == (0, False)


def test_what_becomes_an_example_is_not_waited_for(desk: Desk) -> None:
    order = desk.order()
    desk.carry_out(order)
    shown = desk.rows(order)[-1].task_id
    with transaction() as session:
        session.execute(update(Guidelines).values(examples=[{"task_id": str(shown)}]))
    desk.judge(order, most=PROMPTS - 1)
    with transaction() as session:
        found = queries.standing_of(session, evaluation=session.get_one(Evaluation, order))
    assert (found.prompts, found.is_complete) == (PROMPTS - 1, True)


def test_what_another_comparison_asks_about_stays_open(desk: Desk) -> None:
    first, second = desk.order(), desk.order()
    for each in (first, second):
        desk.carry_out(each)
    shared = [row.task_id for row in desk.rows(first)]
    assert shared == [row.task_id for row in desk.rows(second)]

    def wanting() -> int:
        with transaction() as session:
            closed = session.scalars(select(Task.closed_at).where(Task.id.in_(shared)))
            return sum(each is None for each in closed)

    for each, still in ((first, PROMPTS), (second, 0)):
        with transaction() as session:
            service.close_evaluation(
                session,
                evaluation=session.get_one(Evaluation, each),
                by=session.get_one(User, desk.workshop.ada_id),
            )
        assert wanting() == still


def test_the_same_answer_needs_no_judge(desk: Desk) -> None:
    desk.workshop.behave(says="same")
    evaluation_id = desk.order()
    done = desk.carry_out(evaluation_id)
    assert done.state is JobState.SUCCEEDED
    assert all(row.is_equal and row.task_id is None for row in desk.rows(evaluation_id))
    with transaction() as session:
        assert session.scalars(select(func.count()).select_from(Task)).one() == 0
    assert settle_now() == 1
    with transaction() as session:
        found = queries.verdict(session, evaluation=session.get_one(Evaluation, evaluation_id))
        assert (found.win_rate, found.decided, found.prefers) == (0.5, True, None)


def test_against_the_best_in_the_data(desk: Desk) -> None:
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        judge = make_user(session, "Judge")
        task = make_task(session, project, responses=("bad", "best", "so so"))
        make_annotation(session, task, judge, ranks=[3, 1, 2])
    evaluation_id = desk.order(b={"data": "best"})
    assert desk.carry_out(evaluation_id).state is JobState.SUCCEEDED
    (row,) = desk.rows(evaluation_id)  # the only prompt with a judged response
    with transaction() as session:
        assert session.get_one(Response, row.b_response_id).text == "best"
        assert session.get_one(Response, row.a_response_id).checkpoint_id == desk.ids["a"]


def test_a_reward_model_scores_the_same_prompts_and_more_answers(desk: Desk) -> None:
    evaluation_id = desk.order(reward_checkpoint_id=desk.ids["r"], best_of=4)
    done = desk.carry_out(evaluation_id)
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    for row in desk.rows(evaluation_id):
        assert row.a_score is not None
        assert row.b_score is not None
        assert len(row.a_samples or []) == len(row.b_samples or []) == 4
    with transaction() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        assert len(queries.scored_prompts(session, evaluation=evaluation)) == PROMPTS
        curves = queries.best_of_of(session, evaluation=evaluation)
        assert [point.n for point in curves["a"]] == [1, 2, 4]
        # further responses are scored, and neither stored nor judged
        assert session.scalars(select(func.count()).select_from(Response)).one() == 2 * PROMPTS


def test_prompts_that_a_model_cannot_take_are_left_out_and_named(desk: Desk) -> None:
    desk.workshop.behave(skips=2)
    evaluation_id = desk.order()
    assert desk.carry_out(evaluation_id).state is JobState.SUCCEEDED
    rows = desk.rows(evaluation_id)
    assert sum(row.left_out is not None for row in rows) == 4  # two by A, two others by B
    assert sum(row.task_id is not None for row in rows) == PROMPTS - 4


def test_a_stopped_worker_gives_it_back_and_another_goes_on(desk: Desk) -> None:
    desk.workshop.behave(wait=2)
    evaluation_id = desk.order()
    stopping = threading.Event()
    thread = threading.Thread(target=desk.carry_out, args=[evaluation_id, stopping])
    thread.start()
    desk.workshop.threads.append(thread)
    until(lambda: any(row.a_response_id for row in desk.rows(evaluation_id)))
    stopping.set()
    thread.join(PATIENCE)
    assert desk.evaluation(evaluation_id).state is JobState.QUEUED
    desk.workshop.behave()
    done = desk.carry_out(evaluation_id)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 2)
    with transaction() as session:
        assert session.scalars(select(func.count()).select_from(Response)).one() == 2 * PROMPTS
        assert session.scalars(select(func.count()).select_from(Task)).one() == PROMPTS


def test_a_lost_attempt_writes_nothing(desk: Desk) -> None:
    evaluation_id = desk.order()
    with transaction() as session:
        lease = attempts.begin(session, evaluation_id)
        session.execute(update(Evaluation).values(attempt=2))
    assert lease is not None
    with transaction() as session, pytest.raises(LeaseLost):
        attempts.open_pairs(session, lease=lease)
    with transaction() as session, pytest.raises(LeaseLost):
        attempts.record_scores(session, lease=lease, scores={})
    assert desk.evaluation(evaluation_id).opened_at is None


def test_what_fails_says_why_and_can_be_gone_on_with(desk: Desk) -> None:
    desk.workshop.behave(end=3, at=4, says="CUDA out of memory")
    evaluation_id = desk.order()
    failed = desk.carry_out(evaluation_id)
    assert failed.state is JobState.FAILED
    assert "memory" in (failed.error or "")
    desk.workshop.behave()
    with transaction() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        by = session.get_one(User, desk.workshop.ada_id)
        service.resume_evaluation(session, evaluation=evaluation, by=by)
    assert desk.carry_out(evaluation_id).state is JobState.SUCCEEDED


def test_once_it_is_decided_nobody_is_asked_any_more(desk: Desk) -> None:
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        for number in range(30):
            make_prompt(session, project, f"And {number} more eggs?")
    evaluation_id = desk.order()
    desk.carry_out(evaluation_id)
    desk.judge(evaluation_id, most=5)
    assert settle_now() == 0
    with transaction() as session:
        held = desk.rows(evaluation_id)[-1].task_id
        session.execute(update(Task).where(Task.id == held).values(leased=1))
    desk.judge(evaluation_id, most=25)  # the first five a second time, by somebody else
    assert settle_now() == 1
    closed = desk.evaluation(evaluation_id)
    assert "is better" in (closed.close_reason or "")
    with transaction() as session:
        wanting = select(func.count()).where(Task.leased + Task.counted < Task.wanted)
        assert session.scalars(wanting).one() == 0
        assert session.get_one(Task, held).leased == 1  # nobody loses work
        session.execute(update(Task).where(Task.id == held).values(leased=0))  # she gives it back
    assert settle_now() == 0
    with transaction() as session:
        assert session.get_one(Task, held).wanted == 0
        evaluation = session.get_one(Evaluation, evaluation_id)
        by = session.get_one(User, desk.workshop.ada_id)
        service.reopen_evaluation(session, evaluation=evaluation, by=by)
    with transaction() as session:
        assert session.scalars(wanting).one() == 36 - 25
    assert settle_now() == 0  # the rule has had its say


# -- endpoints ----------------------------------------------------------------------------------


def add_endpoint(desk: Desk, server: ChatServer, model: str = "good", name: str = "Lab") -> str:
    with transaction() as session:
        endpoint = Endpoint(
            project_id=desk.workshop.project_id, name=name, base_url=server.url, model=model
        )
        session.add(endpoint)
    return name


def lanes() -> list[str]:
    with transaction() as session:
        jobs = "SELECT queue_name FROM procrastinate_jobs WHERE task_name = 'evaluate' ORDER BY id"
        return list(session.scalars(text(jobs)))


def test_a_checkpoint_meets_an_endpoint(desk: Desk, server: ChatServer) -> None:
    add_endpoint(desk, server)
    evaluation_id = desk.order(
        b={"endpoint": "Lab"}, reward_checkpoint_id=desk.ids["r"], best_of=2, temperature=0.5
    )
    assert lanes() == [Lane.TRAIN]  # a model is loaded for it
    done = desk.carry_out(evaluation_id)
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    assert done.warnings[-1].startswith("What Lab was trained on is not known here")
    rows = desk.rows(evaluation_id)
    assert all(row.task_id and len(row.b_samples or []) == 2 for row in rows)
    with transaction() as session:
        for row in rows:
            b = session.get_one(Response, row.b_response_id)
            assert (b.source, b.checkpoint_id) == ("endpoint:Lab", None)
            assert b.text.endswith("→ 42@0.5")
            assert b.sampling["endpoint"] == str(done.b_endpoint_id)
            assert row.b_score == float(len(b.text))  # as the stand-in judges
        evaluation = session.get_one(Evaluation, evaluation_id)
        assert queries.names_of(session, evaluation=evaluation).b == "Lab"
    assert {body["seed"] for body in server.asked} == {42, 43, 44}
    desk.judge(evaluation_id)
    with transaction() as session:
        found = queries.verdict(session, evaluation=session.get_one(Evaluation, evaluation_id))
        assert (found.prompts, found.win_rate) == (PROMPTS, 1.0)


def test_endpoints_among_themselves_wait_for_no_training(desk: Desk, server: ChatServer) -> None:
    add_endpoint(desk, server)
    add_endpoint(desk, server, "picky", "Other")  # it does not answer one of the prompts
    evaluation_id = desk.order(a={"endpoint": "Lab"}, b={"endpoint": "Other"})
    assert lanes() == [Lane.ASK]
    with transaction() as session:
        lease = attempts.begin(session, evaluation_id)
        assert lease is not None
        attempts.release(session, lease=lease)  # a worker that stops gives it back …
    assert lanes() == [Lane.ASK, Lane.ASK]  # … to the same lane
    done = desk.carry_out(evaluation_id)
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    (left,) = [row.left_out for row in desk.rows(evaluation_id) if row.left_out]
    assert left == ("B did not answer it: the endpoint refused it (400): context length exceeded")
    with transaction() as session:
        assert session.scalars(select(func.count()).select_from(Task)).one() == 0  # all the same
    assert {row.is_equal for row in desk.rows(evaluation_id) if not row.left_out} == {True}


def test_an_endpoint_that_wins_is_not_promoted(desk: Desk, server: ChatServer) -> None:
    add_endpoint(desk, server)
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        session.add(PromotionRule(project_id=project.id, automatic=True))
        for number in range(30):
            make_prompt(session, project, f"And {number} more eggs?")
    evaluation_id = desk.order(a={"endpoint": "Lab"}, b={"checkpoint": desk.ids["b"]})
    desk.carry_out(evaluation_id)
    desk.judge(evaluation_id)
    assert settle_now() == 1
    with transaction() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        found = queries.verdict(session, evaluation=evaluation)
        assert found.prefers == "a"
        assert not service.earns(session, evaluation=evaluation, found=found)
        assert session.scalars(select(func.count()).select_from(Promotion)).one() == 0


def test_an_endpoint_that_is_down_fails_it_and_what_it_wrote_stays(
    desk: Desk, server: ChatServer
) -> None:
    add_endpoint(desk, server, "down")
    evaluation_id = desk.order(b={"endpoint": "Lab"})
    failed = desk.carry_out(evaluation_id)
    assert failed.state is JobState.FAILED
    assert "answered 500, 5 times in a row" in (failed.error or "")
    with transaction() as session:
        session.execute(update(Endpoint).values(model="good"))
        evaluation = session.get_one(Evaluation, evaluation_id)
        by = session.get_one(User, desk.workshop.ada_id)
        service.resume_evaluation(session, evaluation=evaluation, by=by)
    done = desk.carry_out(evaluation_id)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 2)
    assert all(row.task_id for row in desk.rows(evaluation_id))


def test_an_endpoint_that_may_not_be_asked_is_refused(desk: Desk, server: ChatServer) -> None:
    add_endpoint(desk, server)
    with pytest.raises(Invalid, match="b: this project has no endpoint “Nobody”"):
        desk.order(b={"endpoint": "Nobody"})
    with transaction() as session:
        its = str(session.scalars(select(Endpoint.id)).one())
    with pytest.raises(Invalid, match="b: it is A already"):
        desk.order(a={"endpoint": "Lab"}, b={"endpoint": its})
    with transaction() as session:
        session.execute(update(Endpoint).values(base_url="http://169.254.169.254/v1"))
    with pytest.raises(Invalid, match="not on the list of model servers"):
        desk.order(b={"endpoint": "Lab"})
