"""Several writers of one generation: checkpoints and a real server that misbehaves on demand."""

import json
import signal
import threading
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import AuditEvent, User
from app.completions import KEYS, addresses
from app.config import settings
from app.corpus.models import Prompt, Response
from app.db import JobState, transaction
from app.errors import Invalid
from app.generation import queries, service
from app.generation.models import Arm, Endpoint, Generation, GenerationPrompt, PromptState, Writing
from app.generation.schemas import EndpointBody
from app.projects.models import Project
from app.runs.models import RunKind
from app.tasks.models import Task, TaskResponse
from app.worker import endpoints
from tests.factories import make_prompt
from tests.generation.chat_server import KEY, ChatServer
from tests.runs.factories import make_checkpoint
from tests.waiting import PATIENCE, until
from tests.worker.conftest import Workshop
from tests.worker.processes import Start
from tests.worker.test_generation import PROMPTS, Desk
from tests.worker.test_main import fake

pytestmark = pytest.mark.concurrency


@pytest.fixture
def desk(workshop: Workshop) -> Desk:
    return Desk(workshop)


def endpoint(desk: Desk, server: ChatServer | None, model: str = "good", **fields: object) -> str:
    body = {"name": "Lab", "base_url": server and server.url, "model": model} | fields
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        ada = session.get_one(User, desk.workshop.ada_id)
        made = service.add_endpoint(
            session, project=project, body=EndpointBody.model_validate(body), by=ada
        )
        return made.name


def order(desk: Desk, *writers: dict[str, object], **fields: object) -> UUID:
    return desk.order(checkpoint_id=None, writers=list(writers), **fields)


def tasks_of(session: Session) -> dict[UUID, list[Response]]:
    """The responses of each task, in canonical order."""
    rows = session.execute(
        select(TaskResponse.task_id, Response)
        .join(Response, Response.id == TaskResponse.response_id)
        .order_by(TaskResponse.task_id, TaskResponse.position)
    )
    found: dict[UUID, list[Response]] = {}
    for task_id, response in rows:
        found.setdefault(task_id, []).append(response)
    return found


def test_checkpoint_and_endpoint_make_one_task_of_a_prompt(desk: Desk, server: ChatServer) -> None:
    endpoint(desk, server)
    done = desk.carry_out(
        order(
            desk,
            {"checkpoint_id": desk.checkpoint_id, "n": 2, "temperature": [0.2, 1.0], "seed": 7},
            {"endpoint": "Lab", "n": 3, "temperature": [0.5, 0.9], "seed": 9, "system": "Be brief"},
        )
    )
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    assert (done.done, done.total, done.tasks_opened) == (PROMPTS, PROMPTS, PROMPTS)
    with transaction() as session:
        tasks = tasks_of(session)
        assert len(tasks) == PROMPTS
        for responses in tasks.values():
            (prompt_id,) = {response.prompt_id for response in responses}
            sampled = Counter(
                (r.source, r.sampling["temperature"], r.sampling["seed"]) for r in responses
            )
            own = f"checkpoint:{desk.checkpoint_id.hex[:8]}"
            assert sampled == {
                (own, 0.2, 7): 1,
                (own, 1.0, 15): 1,
                ("endpoint:Lab", 0.5, 9): 1,  # the first and the third
                ("endpoint:Lab", 0.5, 10): 1,
                ("endpoint:Lab", 0.9, 17): 1,
            }
            checkpoints = {r.checkpoint_id for r in responses if r.source == own}
            assert checkpoints == {desk.checkpoint_id}
            lab = next(r for r in responses if r.source == "endpoint:Lab")
            assert (lab.checkpoint_id, lab.sampling["system"]) == (None, "Be brief")
            assert prompt_id
        progress = queries.progress_of(session, generation=session.get_one(Generation, done.id))
    assert (progress.asked, progress.answered) == (4 * PROMPTS, 4 * PROMPTS)
    assert (progress.responses, progress.errors) == (5 * PROMPTS, 0)
    assert {body["messages"][0]["content"] for body in server.asked} == {"Be brief"}


def test_the_order_of_the_responses_does_not_go_by_source(desk: Desk, server: ChatServer) -> None:
    endpoint(desk, server)
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        for number in range(40):
            make_prompt(session, project, f"And {number} more?")
    desk.carry_out(
        order(
            desk,
            {"checkpoint_id": desk.checkpoint_id, "n": 1},
            {"endpoint": "Lab", "n": 1},
        )
    )
    with transaction() as session:
        first = Counter(responses[0].source for responses in tasks_of(session).values())
    assert len(first) == 2  # by chance once in 2⁴⁵


def test_a_text_of_two_writers_stands_in_the_task_once(desk: Desk) -> None:
    desk.workshop.behave(says="same")
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        other = make_checkpoint(session, project, RunKind.SFT)
        other.path = f"runs/{desk.workshop.project_id}/model"
        other_id = other.id
    done = desk.carry_out(
        order(
            desk,
            {"checkpoint_id": desk.checkpoint_id, "n": 1},
            {"checkpoint_id": other_id, "n": 1},
        )
    )
    assert (done.state, done.done, done.tasks_opened) == (JobState.SUCCEEDED, PROMPTS, 0)
    assert desk.count(Response) == 2 * PROMPTS  # each source has its own
    assert desk.count(Task) == 0


# -- trouble ----------------------------------------------------------------------------------


def test_prompts_that_the_endpoint_refuses_are_listed_and_do_not_stop_the_others(
    desk: Desk, server: ChatServer
) -> None:
    endpoint(desk, server, "picky")
    done = desk.carry_out(order(desk, {"endpoint": "Lab", "n": 2}))
    assert (done.state, done.done, done.tasks_opened) == (JobState.SUCCEEDED, 5, 5)
    with transaction() as session:
        generation = session.get_one(Generation, done.id)
        (problem,) = queries.problems_of(session, generation=generation)
        progress = queries.progress_of(session, generation=generation)
    assert problem["prompt"] == "How many eggs are 3 eggs?"
    assert problem["error"] == "the endpoint refused it (400): context length exceeded"
    assert (progress.errors, progress.failed) == (1, 1)


def test_empty_replies_and_refusals_are_counted(desk: Desk, server: ChatServer) -> None:
    endpoint(desk, server, "silent")
    endpoint(desk, server, "refusing", name="Prude")
    writers = {"endpoint": "Lab", "n": 1}, {"endpoint": "Prude", "n": 1}
    done = desk.carry_out(order(desk, *writers, include_existing=1))
    with transaction() as session:
        progress = queries.progress_of(session, generation=session.get_one(Generation, done.id))
    assert (progress.empty, progress.refused, progress.errors) == (PROMPTS, PROMPTS, PROMPTS)


def test_an_endpoint_that_is_down_fails_it_and_the_rest_is_written_later(
    desk: Desk, server: ChatServer
) -> None:
    endpoint(desk, server, "down")
    generation_id = order(
        desk, {"checkpoint_id": desk.checkpoint_id, "n": 1}, {"endpoint": "Lab", "n": 1}
    )
    failed = desk.carry_out(generation_id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "answered 500, 5 times in a row" in failed.error
    assert (desk.count(Writing), desk.count(Task)) == (PROMPTS, 0)
    with transaction() as session:
        session.execute(update(Endpoint).values(model="good"))
        service.resume_generation(
            session,
            generation=session.get_one(Generation, generation_id),
            by=session.get_one(User, desk.workshop.ada_id),
        )
    desk.workshop.behave(end=2, at=1, says="The checkpoint is not asked again.")
    done = desk.carry_out(generation_id)
    assert (done.state, done.done, done.tasks_opened) == (JobState.SUCCEEDED, PROMPTS, PROMPTS)


def test_an_endpoint_without_any_good_answer_is_given_up(
    desk: Desk, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "IN_A_ROW", 3)
    endpoint(desk, server, "shapeless", at_once=1)
    failed = desk.carry_out(order(desk, {"endpoint": "Lab", "n": 2}))
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "3 prompts in a row" in failed.error
    assert "no choices[0].message" in failed.error
    assert desk.count(Writing) == 3


def test_no_more_requests_at_once_than_allowed(desk: Desk, server: ChatServer) -> None:
    endpoint(desk, server, at_once=2)
    desk.carry_out(order(desk, {"endpoint": "Lab", "n": 2}))
    assert server.most <= 2


def test_cancelling_ends_the_asking(desk: Desk, server: ChatServer) -> None:
    server.gate, server.after = threading.Event(), 4
    endpoint(desk, server, at_once=1)
    generation_id = order(desk, {"endpoint": "Lab", "n": 2})
    thread = desk.begin(generation_id, threading.Event())
    desk.wait_for(generation_id, 2)
    with transaction() as session:
        service.cancel_generation(
            session,
            generation=session.get_one(Generation, generation_id),
            by=session.get_one(User, desk.workshop.ada_id),
        )
    thread.join(PATIENCE)  # though the server still thinks about an answer
    cancelled = desk.generation(generation_id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.done == desk.count(Task) < PROMPTS


def test_a_key_is_in_no_row_and_no_answer(
    desk: Desk, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS + "LAB", KEY)
    endpoint(desk, server, "locked", key_name="LAB")
    done = desk.carry_out(order(desk, {"endpoint": "Lab", "n": 2}))
    assert (done.state, done.done) == (JobState.SUCCEEDED, PROMPTS)
    with transaction() as session:
        said = [str(row) for row in session.execute(select(AuditEvent.__table__))]
        said += [str(row) for row in session.execute(select(Endpoint.__table__))]
        said += [str(row) for row in session.execute(select(Response.__table__))]
        assert "endpoint.add" in "".join(said)
    assert KEY not in "".join(said)
    monkeypatch.setenv(KEYS + "LAB", "wrong")
    refused = desk.carry_out(order(desk, {"endpoint": "Lab", "n": 2, "seed": 1}))
    assert refused.error is not None
    assert "refuses the key" in refused.error


def test_a_server_that_left_the_list_is_asked_nothing(
    desk: Desk, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint(desk, server)
    generation_id = order(desk, {"endpoint": "Lab", "n": 2})
    monkeypatch.setattr(addresses, "settings", settings)
    with pytest.raises(Invalid, match="not on the list"):
        order(desk, {"endpoint": "Lab", "n": 2})
    failed = desk.carry_out(generation_id)
    assert failed.error is not None
    assert "not on the list" in failed.error
    assert server.asked == []


def test_a_worker_that_is_killed_costs_no_response_and_no_task_is_there_twice(
    desk: Desk, server: ChatServer, start_worker: Start
) -> None:
    server.gate, server.after = threading.Event(), 6
    endpoint(desk, server, at_once=1)
    generation_id = order(desk, {"endpoint": "Lab", "n": 2})
    own = {"TOUCHSTONE_ENDPOINTS": server.at}
    first = start_worker(**own)
    until(lambda: desk.generation(generation_id).done == 3)
    first.send_signal(signal.SIGKILL)
    first.wait()
    server.gate.set()
    with transaction() as session:
        kept = session.scalars(
            select(Prompt.messages[0]["content"].astext)
            .join(GenerationPrompt, GenerationPrompt.prompt_id == Prompt.id)
            .where(GenerationPrompt.state == PromptState.DONE)
        ).all()
    start_worker(**own)
    until(lambda: desk.generation(generation_id).state.is_final)
    done = desk.generation(generation_id)
    assert (done.state, done.attempt, done.error) == (JobState.SUCCEEDED, 2, None)
    assert (done.done, done.tasks_opened) == (PROMPTS, PROMPTS)
    assert (desk.count(Task), desk.count(Response)) == (PROMPTS, 2 * PROMPTS)
    assert len(kept) == 3
    assert {server.times[asked] for asked in kept} == {2}  # not asked again


def test_endpoints_write_while_a_training_goes_on(
    desk: Desk, server: ChatServer, start_worker: Start
) -> None:
    endpoint(desk, server)
    run_id = desk.workshop.launch(base={"model": "some/model"})
    start_worker(**fake(steps=5000, pace=0.05), TOUCHSTONE_ENDPOINTS=server.at)
    desk.workshop.wait_for(run_id, lambda run: run.step >= 1)
    both = {"checkpoint_id": desk.checkpoint_id, "n": 1}, {"endpoint": "Lab", "n": 1}
    waits = order(desk, *both)  # a model is loaded for it, as for the training
    generation_id = order(desk, {"endpoint": "Lab", "n": 2})
    until(lambda: desk.generation(generation_id).state.is_final)
    assert desk.generation(generation_id).state is JobState.SUCCEEDED
    assert desk.generation(waits).state is JobState.QUEUED
    assert desk.workshop.run(run_id).state is JobState.RUNNING


# -- which prompts ----------------------------------------------------------------------------


def chosen(generation_id: UUID) -> dict[str, GenerationPrompt]:
    with transaction() as session:
        rows = session.execute(
            select(Prompt.messages[0]["content"].astext, GenerationPrompt)
            .join(Prompt, Prompt.id == GenerationPrompt.prompt_id)
            .where(GenerationPrompt.generation_id == generation_id)
        ).all()
        session.expunge_all()
        return {row[0]: row[1] for row in rows}


def by_doubt(desk: Desk) -> dict[str, object]:
    """A quarter by lot, the others by a reward model's doubt, out of ten times as many."""
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        judge = make_checkpoint(session, project, RunKind.REWARD)
        judge.path = f"runs/{desk.workshop.project_id}/model"
        judge_id = str(judge.id)
    return {
        "by": "uncertainty", "reward_checkpoint_id": judge_id, "control": 0.25, "oversample": 10,
    }  # fmt: skip


def test_those_are_kept_of_which_the_reward_model_is_least_sure(desk: Desk) -> None:
    desk.workshop.behave(judges="numbers")
    generation_id = desk.order(n=2, max_prompts=4, select=by_doubt(desk))
    done = desk.carry_out(generation_id)
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    assert (done.tasks_opened, desk.count(Task)) == (4, 4)
    rows = chosen(generation_id)
    assert len(rows) == PROMPTS
    by_lot = [name for name, row in rows.items() if row.arm is Arm.RANDOM]
    assert len(by_lot) == 1
    others = sorted(
        (name for name, row in rows.items() if row.arm is Arm.SELECTED),
        key=lambda name: int(name.split()[-2]),  # the stand-in is surer of larger numbers
    )
    states = {name: row.state for name, row in rows.items()}
    assert [states[name] for name in [*by_lot, *others]] == [
        *4 * [PromptState.DONE],
        *2 * [PromptState.PASSED_OVER],
    ]
    doubts = [(rows[name].score or {})["doubt"] for name in others]
    assert doubts == sorted(doubts, reverse=True)
    assert all(len((rows[name].score or {})["scores"]) == 2 for name in [*by_lot, *others[:3]])
    assert desk.count(Response) == 8  # what was not kept is no response of the project
    with transaction() as session:
        metas = session.scalars(select(Task.meta)).all()
    assert not any("random" in json.dumps(meta) for meta in metas)  # no arm where people look


def test_a_prompt_by_lot_that_makes_no_task_is_replaced_by_the_next_of_the_lot(desk: Desk) -> None:
    desk.workshop.behave(judges="numbers", skips=1)  # the first one, which is of the lot
    generation_id = desk.order(n=2, max_prompts=4, select=by_doubt(desk))
    done = desk.carry_out(generation_id)
    assert (done.state, done.tasks_opened) == (JobState.SUCCEEDED, 4)
    rows = sorted(chosen(generation_id).values(), key=lambda row: row.place)
    found = [(row.arm, row.state) for row in rows[:2]]
    assert found == [(Arm.RANDOM, PromptState.FAILED), (Arm.RANDOM, PromptState.DONE)]
    others = Counter(row.state for row in rows[2:])
    assert others == {PromptState.DONE: 3, PromptState.PASSED_OVER: 1}
    with transaction() as session:
        generation = session.get_one(Generation, generation_id)
        arms = queries.arm_facts(session, generation=generation)
    assert arms is not None
    assert [(arm.tasks, arm.failed) for arm in arms.arms] == [(3, 0), (1, 1)]


def test_the_prompts_are_chosen_once(desk: Desk) -> None:
    desk.workshop.behave(end=2, at=1, says="Stop.")
    generation_id = desk.order()
    desk.carry_out(generation_id)
    with transaction() as session:
        make_prompt(session, session.get_one(Project, desk.workshop.project_id), "Too late?")
        service.resume_generation(
            session,
            generation=session.get_one(Generation, generation_id),
            by=session.get_one(User, desk.workshop.ada_id),
        )
    desk.workshop.behave()
    done = desk.carry_out(generation_id)
    assert (done.done, done.total) == (PROMPTS, PROMPTS)


def test_shares_and_tags_and_what_nobody_judged(desk: Desk) -> None:
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        for number in range(10):
            prompt = make_prompt(session, project, f"Tea {number}?")
            prompt.source, prompt.tags = ("web" if number % 2 else "mail"), ["tea"]
    sources = {"web": 3, "mail": 1}
    done = desk.carry_out(desk.order(max_prompts=4, select={"tags": ["tea"], "sources": sources}))
    assert done.total == 4
    with transaction() as session:
        counts = session.execute(
            select(Prompt.source, func.count())
            .join(GenerationPrompt, GenerationPrompt.prompt_id == Prompt.id)
            .group_by(Prompt.source)
        ).all()
        session.execute(update(Task).values(wanted=1, counted=1))
    assert dict(map(tuple, counts)) == sources
    again = desk.carry_out(desk.order(seed=3, select={"tags": ["tea"], "unjudged": True}))
    assert again.total == 6
    nothing = desk.carry_out(desk.order(select={"tags": ["coffee"]}))
    assert nothing.error is not None
    assert "No prompt fits" in nothing.error


def test_novelty_takes_what_is_far_from_what_was_judged(desk: Desk) -> None:
    with transaction() as session:
        project = session.get_one(Project, desk.workshop.project_id)
        make_prompt(session, project, "Who wrote the oldest song about the sea?")
    desk.carry_out(desk.order(max_prompts=None, select={"unjudged": True}, n=2))
    with transaction() as session:
        eggs = select(Prompt.id).where(Prompt.messages[0]["content"].astext.contains("eggs"))
        judged = Task.prompt_id.in_(eggs)
        session.execute(update(Task).where(judged).values(wanted=1, counted=1))
    select_by = {"by": "novelty", "control": 0}
    generation_id = desk.order(max_prompts=1, select=select_by, seed=5)
    desk.carry_out(generation_id)
    ((name, row),) = chosen(generation_id).items()
    assert name.startswith("Who wrote")
    assert row.arm is Arm.SELECTED
    assert (row.score or {})["novelty"] > 0.8
