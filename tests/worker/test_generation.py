import threading
from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import artifacts
from app.accounts.models import User
from app.corpus.models import Prompt, Response
from app.db import JobState, transaction
from app.errors import LeaseLost
from app.generation import service
from app.generation.models import Generation
from app.generation.schemas import GenerationBody
from app.projects.models import Project
from app.runs.models import RunKind
from app.runs.service import Lease
from app.tasks.models import Task, TaskResponse
from app.worker.generation import generate_responses
from tests.factories import make_project, make_prompt, make_task
from tests.runs.factories import make_checkpoint
from tests.waiting import PATIENCE, until
from tests.worker.conftest import Workshop

pytestmark = pytest.mark.concurrency

PROMPTS = 6


class Desk:
    """A workshop with prompts and a checkpoint that can write."""

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
            checkpoint = make_checkpoint(session, project, RunKind.DPO)
            checkpoint.path = f"runs/{workshop.project_id}/model"
            self.checkpoint_id = checkpoint.id
            other = make_project(session, "Other", by=session.get_one(User, workshop.ada_id))
            make_prompt(session, other, "None of our business")

    def order(self, **fields: object) -> UUID:
        body = {"checkpoint_id": self.checkpoint_id, "n": 3} | fields
        with transaction() as session:
            return service.open_generation(
                session,
                project=session.get_one(Project, self.workshop.project_id),
                body=GenerationBody.model_validate(body),
                by=session.get_one(User, self.workshop.ada_id),
            ).id

    def carry_out(self, generation_id: UUID, stopping: threading.Event | None = None) -> Generation:
        generate_responses(generation_id, stopping=stopping or threading.Event())
        return self.generation(generation_id)

    def begin(self, generation_id: UUID, stopping: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=self.carry_out, args=[generation_id, stopping])
        thread.start()
        self.workshop.threads.append(thread)
        return thread

    def generation(self, generation_id: UUID) -> Generation:
        with transaction() as session:
            generation = session.get_one(Generation, generation_id)
            session.expunge(generation)
            return generation

    def wait_for(self, generation_id: UUID, done: int) -> None:
        until(lambda: self.generation(generation_id).done >= done)

    def count(self, table: type) -> int:
        with transaction() as session:
            return session.scalars(select(func.count()).select_from(table)).one()


@pytest.fixture
def desk(workshop: Workshop) -> Desk:
    return Desk(workshop)


def test_every_prompt_gets_its_responses_and_a_task(desk: Desk) -> None:
    done = desk.carry_out(desk.order())
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    assert (done.done, done.total, done.tasks_opened) == (PROMPTS, PROMPTS, PROMPTS)
    with transaction() as session:
        responses = session.scalars(select(Response)).all()
        assert len(responses) == 3 * PROMPTS
        assert {response.source for response in responses} == {
            f"checkpoint:{desk.checkpoint_id.hex[:8]}"
        }
        assert {response.checkpoint_id for response in responses} == {desk.checkpoint_id}
        tasks = session.scalars(select(Task)).all()
        assert {task.project_id for task in tasks} == {desk.workshop.project_id}
        assert {task.wanted for task in tasks} == {1}


def test_doing_it_twice_adds_nothing(desk: Desk) -> None:
    desk.carry_out(desk.order())
    again = desk.carry_out(desk.order())
    assert (again.state, again.tasks_opened) == (JobState.SUCCEEDED, 0)
    assert desk.count(Response) == 3 * PROMPTS
    assert desk.count(Task) == PROMPTS


def test_a_part_of_the_prompts_is_drawn_by_the_seed(desk: Desk) -> None:
    done = desk.carry_out(desk.order(max_prompts=2, seed=7))
    assert (done.total, desk.count(Task)) == (2, 2)
    desk.carry_out(desk.order(max_prompts=2, seed=7))
    assert desk.count(Task) == 2  # the same two


def test_new_responses_are_compared_with_those_that_are_there(desk: Desk) -> None:
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        make_task(session, project, prompt="Which egg?", responses=["This.", "That."])
    done = desk.carry_out(desk.order(n=2, include_existing=1))
    assert done.tasks_opened == PROMPTS + 1
    with transaction() as session:
        prompt = session.scalars(
            select(Prompt.id).where(Prompt.messages[0]["content"].astext == "Which egg?")
        ).one()
        sizes = session.execute(
            select(Task.id, func.count())
            .join(TaskResponse)
            .where(Task.prompt_id == prompt)
            .group_by(Task.id)
        ).all()
    assert sorted(size for _, size in sizes) == [2, 3]  # the old one, and two new with one old


def test_equal_responses_are_no_task(desk: Desk) -> None:
    desk.workshop.behave(says="same")
    done = desk.carry_out(desk.order())
    assert (done.state, done.done, done.tasks_opened) == (JobState.SUCCEEDED, PROMPTS, 0)
    assert desk.count(Task) == 0


def test_prompts_that_the_model_cannot_take_do_not_stop_the_others(desk: Desk) -> None:
    desk.workshop.behave(skips=2)
    done = desk.carry_out(desk.order())
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    assert (done.done, done.total, done.tasks_opened) == (PROMPTS - 2, PROMPTS, PROMPTS - 2)


def test_a_failure_keeps_what_was_written_and_is_resumed_from_there(desk: Desk) -> None:
    desk.workshop.behave(end=2, at=2, says="The prompt is too long.")
    generation_id = desk.order()
    failed = desk.carry_out(generation_id)
    assert (failed.state, failed.error.split(".")[0]) == (JobState.FAILED, "The prompt is too long")
    assert (failed.done, desk.count(Task)) == (2, 2)
    desk.workshop.behave()
    with transaction() as session:
        service.resume_generation(
            session,
            generation=session.get_one(Generation, generation_id),
            by=session.get_one(User, desk.workshop.ada_id),
        )
    done = desk.carry_out(generation_id)
    assert (done.state, done.attempt, done.done, done.total) == (
        JobState.SUCCEEDED,
        2,
        PROMPTS,
        PROMPTS,
    )
    assert desk.count(Task) == PROMPTS
    assert desk.count(Response) == 3 * PROMPTS


def cancel(desk: Desk, session: Session, generation_id: UUID) -> None:
    service.cancel_generation(
        session,
        generation=session.get_one(Generation, generation_id),
        by=session.get_one(User, desk.workshop.ada_id),
    )


def test_cancelling_stops_the_writing_and_keeps_what_is_there(desk: Desk) -> None:
    desk.workshop.behave(wait=2)
    generation_id = desk.order()
    thread = desk.begin(generation_id, threading.Event())
    desk.wait_for(generation_id, 1)
    with transaction() as session:
        cancel(desk, session, generation_id)
    thread.join(PATIENCE)
    generation = desk.generation(generation_id)
    assert generation.state is JobState.CANCELLED
    assert 1 <= generation.done < PROMPTS
    assert desk.count(Task) == generation.done


def test_a_worker_that_stops_hands_the_rest_on(desk: Desk) -> None:
    desk.workshop.behave(wait=2)
    generation_id, stopping = desk.order(), threading.Event()
    thread = desk.begin(generation_id, stopping)
    desk.wait_for(generation_id, 1)
    stopping.set()
    thread.join(PATIENCE)
    assert desk.generation(generation_id).state is JobState.QUEUED
    desk.workshop.behave()
    assert desk.carry_out(generation_id).done == PROMPTS


WRITES: dict[str, Callable[[Session, Lease], object]] = {
    "hold": lambda session, lease: service.hold_generation(session, lease=lease),
    "advance": lambda session, lease: service.advance_generation(
        session, lease=lease, done=1, tasks_opened=1
    ),
    "end": lambda session, lease: service.end_generation(
        session, lease=lease, state=JobState.SUCCEEDED
    ),
    "release": lambda session, lease: service.release_generation(session, lease=lease),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_worker_that_lost_it_writes_nothing(desk: Desk, write: str) -> None:
    generation_id = desk.order()
    with transaction() as session:
        lease = service.begin_generation(session, generation_id)
        assert lease is not None
        session.execute(update(Generation).where(Generation.id == generation_id).values(attempt=2))
    with pytest.raises(LeaseLost), transaction() as session:
        WRITES[write](session, lease)
    generation = desk.generation(generation_id)
    assert (generation.state, generation.done) == (JobState.RUNNING, 0)
