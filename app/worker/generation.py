"""A checkpoint writes new responses to the project's prompts, and they become tasks."""

import json
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import ColumnElement, Text, cast, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.config import settings
from app.corpus import service as corpus
from app.corpus.models import Prompt, Response
from app.corpus.schemas import NewResponse
from app.db import JobState, JsonObject, transaction
from app.errors import AppError, LeaseLost
from app.generation import service
from app.generation.models import Generation
from app.jobs import JobName, Lane, queue
from app.projects.models import Project
from app.runs import rules
from app.runs.service import Lease
from app.tasks import service as tasks
from app.tasks.schemas import NewTask
from app.worker.folders import work_folder
from app.worker.inputs import ModelSource, materialised, model_source
from app.worker.lease import Pulse, Stop
from app.worker.process import TRAINER, Child, Lines
from app.worker.training import GRACE, RELAY

log = structlog.get_logger(__name__)

AT_ONCE = 100  # prompts whose responses are stored in one transaction


@queue.task(name=JobName.GENERATE, queue=Lane.TRAIN, pass_context=True)
def generate(context: JobContext, *, generation_id: str) -> None:
    generate_responses(UUID(generation_id), stopping=context.additional_context["stopping"])


@dataclass(frozen=True)
class Order:
    """What is to be written, as the database says."""

    id: UUID
    project_id: UUID
    checkpoint_id: UUID
    model: ModelSource
    config: JsonObject

    @property
    def source(self) -> str:
        return f"checkpoint:{self.checkpoint_id.hex[:8]}"


def generate_responses(generation_id: UUID, *, stopping: threading.Event) -> None:
    """Take the generation and let a child write; what it has written is stored as it comes."""
    with transaction() as session:
        lease = service.begin_generation(session, generation_id=generation_id)
        order = _order(session, generation_id=generation_id) if lease else None
    if lease is None or order is None:
        return
    try:
        with (
            Pulse(partial(service.hold_generation, lease=lease), stopping=stopping) as pulse,
            work_folder("generations", lease) as folder,
        ):
            _carry_out(order, lease, folder, pulse)
    except LeaseLost:
        log.warning("another attempt has the generation", generation=str(generation_id))


def _order(session: Session, *, generation_id: UUID) -> Order:
    generation = session.get_one(Generation, generation_id)
    model = model_source(session, checkpoint_id=generation.checkpoint_id)
    assert model is not None
    return Order(
        generation.id, generation.project_id, generation.checkpoint_id, model, generation.config
    )


def _carry_out(order: Order, lease: Lease, folder: Path, pulse: Pulse) -> None:
    """Write, and end the attempt as the child did."""
    output, errors = folder / "responses.jsonl", folder / "log.txt"
    end = partial(service.end_generation, lease=lease)
    try:
        with transaction() as session:
            prompts = _write_prompts(session, order, folder / "prompts.jsonl")
            service.hold_generation(session, lease=lease, total=Generation.done + prompts)
        code = 0
        if prompts:
            with ExitStack() as stack:
                model = stack.enter_context(materialised(order.model))
                command = _command(order, model, folder / "prompts.jsonl", output)
                with Child(command, log=errors) as child:
                    code = _follow(order, lease, child, Lines(output), pulse)
                    words = child.last_words()
    except AppError as error:
        error_text: str | None = error.detail
    except LeaseLost:
        raise
    except Exception as error:
        log.exception("generation failed unexpectedly", generation=str(order.id))
        error_text = (
            f"The worker could not carry this out ({type(error).__name__}: {error}). Its log has "
            "the details; resume once the cause is gone."
        )
    else:
        error_text = None if code == 0 else rules.failure(code, words)
    stop = pulse.stop
    with transaction() as session:
        if error_text is None:
            end(session, state=JobState.SUCCEEDED)
        elif stop is Stop.CANCEL:
            end(session, state=JobState.CANCELLED)
        elif stop is Stop.SHUTDOWN:
            service.release_generation(session, lease=lease)
        else:
            end(session, state=JobState.FAILED, error=error_text)


def _command(order: Order, model: Path, prompts: Path, output: Path) -> list[str]:
    config = order.config
    return [
        *(*TRAINER, "generate", str(prompts)),
        *("--model", str(model), "--output", str(output), "--source", order.source),
        *("--n", str(config["n"]), "--temperature", str(config["temperature"])),
        *("--top-p", str(config["top_p"]), "--max-new-tokens", str(config["max_new_tokens"])),
        *("--seed", str(config["seed"]), "--device", settings.train_device),
    ]


def _follow(order: Order, lease: Lease, child: Child, lines: Lines, pulse: Pulse) -> int:
    """Store what the child writes until it ends; its exit code."""
    waiting: list[JsonObject] = []
    while True:
        code = child.poll()  # before the last look, so that nothing is missed
        stop = pulse.stop
        if stop is not None and code is None:
            code = child.stop(grace=GRACE[stop])
        if stop is Stop.LOST:
            raise LeaseLost(lease)
        waiting = waiting or lines.new(most=AT_ONCE)
        if waiting:
            try:
                with transaction() as session:
                    _store(session, order, lease, waiting)
                waiting = []
            except OperationalError as error:
                log.warning("responses wait for the database", error=str(error.orig))
                time.sleep(RELAY)
        elif code is not None:
            return code
        else:
            time.sleep(RELAY)


# -- the database -----------------------------------------------------------------------------


def _shuffled(column: Any, seed: int) -> ColumnElement[str]:
    """An order that looks random and is the same each time."""
    return func.md5(func.concat(cast(column, Text), str(seed)))


def _write_prompts(session: Session, order: Order, file: Path) -> int:
    """The prompts that have no responses of this generation yet; how many."""
    wanted = (
        select(Prompt.id)
        .where(Prompt.project_id == order.project_id)
        .order_by(_shuffled(Prompt.id, order.config["seed"]))
        .limit(order.config["max_prompts"])
        .subquery()
    )
    answered = (
        select(Response.id)
        .where(
            Response.prompt_id == Prompt.id,
            Response.checkpoint_id == order.checkpoint_id,
            Response.sampling["generation"].astext == str(order.id),
        )
        .exists()
    )
    rows = session.execute(
        select(Prompt.id, Prompt.messages, Prompt.system)
        .where(Prompt.id.in_(select(wanted.c.id)), ~answered)
        .order_by(Prompt.created_at, Prompt.id)
        .execution_options(yield_per=1000)
    )
    count = 0
    with file.open("w", encoding="utf-8") as lines:
        for row in rows:
            line: JsonObject = {"id": str(row.id), "prompt": row.messages}
            if row.system:
                line["system"] = row.system
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


def _store(session: Session, order: Order, lease: Lease, lines: Sequence[JsonObject]) -> None:
    """Responses, tasks and the count of a batch, all or none."""
    service.hold_generation(session, lease=lease)  # first: a lost attempt stores nothing
    project = session.get_one(Project, order.project_id)
    tasks.lock_opening(session, project=project)  # before the responses, as an import does
    prompts = {
        row.id: row.content_hash
        for row in session.execute(
            select(Prompt.id, Prompt.content_hash).where(
                Prompt.id.in_([UUID(line["id"]) for line in lines]),
                Prompt.project_id == order.project_id,
            )
        )
    }
    sampling = {key: order.config[key] for key in ("temperature", "top_p", "seed")}
    new = [
        NewResponse(
            prompt_id=prompt_id,
            prompt_hash=prompts[prompt_id],
            text=rules.storable(response["text"]),
            source=order.source,
            checkpoint_id=order.checkpoint_id,
            sampling=sampling | {"generation": str(order.id)},
        )
        for line in lines
        if (prompt_id := UUID(line["id"])) in prompts
        for response in line["responses"]
        if response["text"].strip()
    ]
    stored = corpus.add_responses(session, responses=new)
    mine: dict[UUID, dict[str, UUID]] = {}  # prompt → text → response; equal texts are one
    for response, row in zip(new, stored, strict=True):
        mine.setdefault(response.prompt_id, {}).setdefault(response.text, row.id)
    for prompt_id, others in _existing(session, order, prompt_ids=list(mine)).items():
        for text, response_id in others:
            mine[prompt_id].setdefault(text, response_id)
    opened = tasks.open_tasks(
        session,
        project=project,
        tasks=[
            NewTask(prompt_id=prompt_id, response_ids=list(responses.values()))
            for prompt_id, responses in mine.items()
            if len(responses) >= 2
        ],
    )
    service.advance_generation(
        session,
        lease=lease,
        done=len(lines),
        tasks_opened=sum(task.is_new for task in opened),
    )


def _existing(
    session: Session, order: Order, *, prompt_ids: Sequence[UUID]
) -> dict[UUID, list[tuple[str, UUID]]]:
    """Some responses of other sources to each prompt, as many as were asked for."""
    wanted = int(order.config["include_existing"])
    if not wanted:
        return {}
    place = func.row_number().over(
        partition_by=Response.prompt_id,
        order_by=_shuffled(Response.id, order.config["seed"]),
    )
    others = (
        select(Response.prompt_id, Response.id, Response.text, place.label("place"))
        .where(
            Response.prompt_id.in_(prompt_ids),
            Response.checkpoint_id.is_distinct_from(order.checkpoint_id),
        )
        .subquery()
    )
    chosen: dict[UUID, list[tuple[str, UUID]]] = {}
    for row in session.execute(
        select(others).where(others.c.place <= wanted).order_by(others.c.place)
    ):
        chosen.setdefault(row.prompt_id, []).append((row.text, row.id))
    return chosen
