"""Writers write new responses to the project's prompts, and they become tasks."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.completions import Target
from app.config import settings
from app.corpus.models import Prompt
from app.db import JobState, JsonObject, transaction
from app.errors import AppError, LeaseLost
from app.generation import queries, service
from app.generation.models import (
    Endpoint,
    Generation,
    GenerationPrompt,
    PromptState,
    Writer,
    Writing,
)
from app.generation.rules import Turn
from app.generation.service import NewWriting
from app.jobs import JobName, Lane, queue
from app.runs import rules
from app.runs.service import Lease
from app.worker.endpoints import Asking, answers
from app.worker.folders import work_folder
from app.worker.inputs import ModelSource, materialised, model_source
from app.worker.lease import GRACE, RELAY, Pulse, Stop
from app.worker.process import TRAINER, Child, Lines

log = structlog.get_logger(__name__)

AT_ONCE = 100  # prompts whose responses are stored in one transaction
TOO_LONG = (
    "The model cannot take this prompt: it is too long for the model and the response asked for, "
    "or its chat template refuses it."
)


@queue.task(name=JobName.GENERATE, queue=Lane.TRAIN, pass_context=True)
def generate(context: JobContext, *, generation_id: str) -> None:
    generate_responses(UUID(generation_id), stopping=context.additional_context["stopping"])


@dataclass(frozen=True)
class Part:
    """One turn of one writer."""

    place: int
    turn: Turn
    source: str
    top_p: float
    max_new_tokens: int
    system: str | None
    model: ModelSource | None  # a checkpoint, or …
    endpoint: Target | None
    at_once: int


@dataclass(frozen=True)
class Order:
    """What is to be written, as the database says; `judge` scores it in the end."""

    id: UUID
    project_id: UUID
    parts: Sequence[Part]
    judge: ModelSource | None


class Ended(Exception):
    """The attempt was asked to end before its work did."""


def generate_responses(generation_id: UUID, *, stopping: threading.Event) -> None:
    """Take the generation and let its writers write; what is written is stored as it comes."""
    with transaction() as session:
        lease = service.begin_generation(session, generation_id)
    if lease is None:
        return
    try:
        with (
            Pulse(partial(service.hold_generation, lease=lease), stopping=stopping) as pulse,
            work_folder("generations", lease) as folder,
        ):
            _carry_out(lease, folder, pulse)
    except LeaseLost:
        log.warning("another attempt has the generation", generation=str(generation_id))


def _carry_out(lease: Lease, folder: Path, pulse: Pulse) -> None:
    """Write, and end the attempt as that went."""
    error_text: str | None = None
    try:
        _write_all(lease, folder, pulse)
    except Ended:
        error_text = ""
    except AppError as error:
        error_text = error.detail
    except LeaseLost:
        raise
    except Exception as error:
        log.exception("generation failed unexpectedly", generation=str(lease.id))
        error_text = (
            f"The worker could not carry this out ({type(error).__name__}: {error}). Its log has "
            "the details; resume once the cause is gone."
        )
    end = partial(service.end_generation, lease=lease)
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


def _write_all(lease: Lease, folder: Path, pulse: Pulse) -> None:
    with transaction() as session:
        service.hold_generation(session, lease=lease)
        generation = session.get_one(Generation, lease.id)
        chosen = service.choose_prompts(session, generation=generation)
        if chosen:
            service.hold_generation(session, lease=lease, total=chosen)
        order = _order(session, generation)
    for number, part in enumerate(order.parts):
        prompts = folder / f"prompts-{number}.jsonl"
        with transaction() as session:
            asked = _write_prompts(session, order, part, prompts)
        if asked and part.endpoint is not None:
            _let_endpoint_write(lease, part, prompts, pulse)
        elif asked:
            _let_child_write(lease, part, prompts, folder / f"responses-{number}.jsonl", pulse)
    while _stored_or_later(partial(service.finish_rest, lease=lease, limit=AT_ONCE), pulse):
        pass
    if order.judge is not None:
        _score(lease, order, order.judge, folder, pulse)


def _order(session: Session, generation: Generation) -> Order:
    parts = []
    for writer in queries.writers_of(session, generations=[generation])[generation.id]:
        parts += [_part(session, writer, turn) for turn in queries.turns_in(writer)]
    judge = (generation.config.get("select") or {}).get("reward_checkpoint_id")
    return Order(
        generation.id,
        generation.project_id,
        parts,
        model_source(session, checkpoint_id=UUID(judge)) if judge else None,
    )


def _part(session: Session, writer: Writer, turn: Turn) -> Part:
    endpoint = session.get(Endpoint, writer.endpoint_id) if writer.endpoint_id else None
    return Part(
        place=writer.place,
        turn=turn,
        source=writer.source,
        top_p=writer.top_p,
        max_new_tokens=writer.max_new_tokens,
        system=writer.system,
        model=model_source(session, checkpoint_id=writer.checkpoint_id),
        endpoint=service.target_of(endpoint) if endpoint else None,
        at_once=endpoint.at_once if endpoint else 1,
    )


# -- a checkpoint writes ----------------------------------------------------------------------


def _let_child_write(lease: Lease, part: Part, prompts: Path, output: Path, pulse: Pulse) -> None:
    assert part.model is not None
    with materialised(part.model) as model:
        command = [
            *(*TRAINER, "generate", str(prompts)),
            *("--model", str(model), "--output", str(output), "--source", part.source),
            *("--n", str(part.turn.n), "--temperature", str(part.turn.temperature)),
            *("--top-p", str(part.top_p), "--max-new-tokens", str(part.max_new_tokens)),
            *("--seed", str(part.turn.seed), "--device", settings.train_device),
        ]
        with pulse.child(command, log=output.with_suffix(".txt")) as child:
            code = _follow(lease, part, child, Lines(output), pulse)
            words = child.last_words()
    if pulse.stop is not None and code != 0:
        raise Ended
    if code != 0:
        raise AppError(rules.failure(code, words))
    told = {line["id"] for line in Lines(output).new(most=10_000_000)}
    for batch in _batches(_lines_of(prompts)):
        silent = [
            NewWriting(UUID(line["id"]), part.place, part.turn.number, error=TOO_LONG)
            for line in batch
            if line["id"] not in told
        ]
        if silent:
            _stored_or_later(partial(service.store, lease=lease, writings=silent), pulse)


def _follow(lease: Lease, part: Part, child: Child, lines: Lines, pulse: Pulse) -> int:
    """Store what the child writes until it ends; its exit code."""
    while True:
        code = child.poll()  # before the last look, so that nothing is missed
        stop = pulse.stop
        if stop is not None and code is None:
            code = child.stop(grace=GRACE[stop])
        if stop is Stop.LOST:
            raise LeaseLost(lease)
        waiting = [_written(part, line) for line in lines.new(most=AT_ONCE)]
        if waiting:
            _stored_or_later(partial(service.store, lease=lease, writings=waiting), pulse)
        elif code is not None:
            return code
        else:
            time.sleep(RELAY)


def _written(part: Part, line: JsonObject) -> NewWriting:
    texts = [each["text"] for each in line["responses"] if each["text"].strip()]
    sampled = {"temperature": part.turn.temperature, "seed": part.turn.seed}
    return NewWriting(
        UUID(line["id"]),
        part.place,
        part.turn.number,
        texts=[{"text": text, **sampled} for text in texts],
        empty=part.turn.n - len(texts),
    )


# -- an endpoint writes -----------------------------------------------------------------------


def _let_endpoint_write(lease: Lease, part: Part, prompts: Path, pulse: Pulse) -> None:
    assert part.endpoint is not None
    asking = Asking(
        place=part.place,
        turn=part.turn,
        top_p=part.top_p,
        max_new_tokens=part.max_new_tokens,
        at_once=part.at_once,
    )
    for writings in answers(part.endpoint, asking, _lines_of(prompts), pulse):
        _stored_or_later(partial(service.store, lease=lease, writings=writings), pulse)
    if pulse.stop is Stop.LOST:
        raise LeaseLost(lease)
    if pulse.stop is not None:
        raise Ended


# -- a reward model chooses -------------------------------------------------------------------


def _score(lease: Lease, order: Order, judge: ModelSource, folder: Path, pulse: Pulse) -> None:
    """Score what is written, and keep the prompts of which the model is least sure."""
    texts = folder / "written.jsonl"
    output = folder / "scores.jsonl"
    with transaction() as session:
        if not _write_texts(session, order, texts):
            return
    with ExitStack() as stack:
        model = stack.enter_context(materialised(judge))
        command = [
            *(*TRAINER, "score", str(texts), "--model", str(model), "--output", str(output)),
            *("--device", settings.train_device),
        ]
        child = stack.enter_context(pulse.child(command, log=folder / "score.txt"))
        while (code := child.poll()) is None:
            stop = pulse.stop
            if stop is not None:
                child.stop(grace=GRACE[stop])
                raise LeaseLost(lease) if stop is Stop.LOST else Ended
            time.sleep(RELAY)
        words = child.last_words()
    if code != 0:
        raise AppError(f"The reward model could not score: {rules.failure(code, words)}")
    scored = {
        UUID(line["id"]): [
            {"text": text, "score": score, "spread": spread}
            for text, score, spread in zip(
                line["responses"],
                line["scores"],
                line.get("score_stds") or [None] * len(line["responses"]),
                strict=True,
            )
        ]
        for line in _lines_of(output)
    }
    _stored_or_later(partial(service.keep_most_doubtful, lease=lease, scored=scored), pulse)


def _write_texts(session: Session, order: Order, file: Path) -> int:
    """What was written to prompts that wait for their scores, a line each; how many."""
    rows = session.execute(
        select(Prompt.id, Prompt.messages, Prompt.system, Writing.texts)
        .join(Writing, Writing.prompt_id == Prompt.id)
        .join(
            GenerationPrompt,
            (GenerationPrompt.generation_id == Writing.generation_id)
            & (GenerationPrompt.prompt_id == Prompt.id),
        )
        .where(Writing.generation_id == order.id, GenerationPrompt.state == PromptState.WRITTEN)
        .order_by(GenerationPrompt.place, Writing.place, Writing.turn)
    )
    lines: dict[UUID, JsonObject] = {}
    for row in rows:
        line = lines.setdefault(
            row.id, {**_line(row.id, row.messages, row.system), "responses": []}
        )
        line["responses"] += [
            text["text"] for text in row.texts if text["text"] not in line["responses"]
        ]
    return _written_lines(file, (line for line in lines.values() if line["responses"]))


# -- files and the database -------------------------------------------------------------------


def _write_prompts(session: Session, order: Order, part: Part, file: Path) -> int:
    """The prompts to which this part has not written yet; how many."""
    answered = (
        select(Writing.prompt_id)
        .where(
            Writing.generation_id == order.id,
            Writing.prompt_id == Prompt.id,
            Writing.place == part.place,
            Writing.turn == part.turn.number,
        )
        .exists()
    )
    rows = session.execute(
        select(Prompt.id, Prompt.messages, Prompt.system)
        .join(GenerationPrompt, GenerationPrompt.prompt_id == Prompt.id)
        .where(
            GenerationPrompt.generation_id == order.id,
            GenerationPrompt.state == PromptState.WAITING,
            ~answered,
        )
        .order_by(GenerationPrompt.place)
        .execution_options(yield_per=1000)
    )
    return _written_lines(
        file, (_line(row.id, row.messages, part.system or row.system) for row in rows)
    )


def _line(prompt_id: UUID, messages: Sequence[JsonObject], system: str | None) -> JsonObject:
    line: JsonObject = {"id": str(prompt_id), "prompt": messages}
    return line | {"system": system} if system else line


def _written_lines(file: Path, lines: Iterator[JsonObject]) -> int:
    count = 0
    with file.open("w", encoding="utf-8") as output:
        for count, line in enumerate(lines, 1):  # noqa: B007
            output.write(json.dumps(line, ensure_ascii=False) + "\n")
    return count


def _lines_of(file: Path) -> Iterator[JsonObject]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _batches(lines: Iterator[JsonObject]) -> Iterator[list[JsonObject]]:
    batch: list[JsonObject] = []
    for line in lines:
        batch.append(line)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _stored_or_later(write: Callable[[Session], int | None], pulse: Pulse) -> int:
    """Write, and as often again as the database is away; nothing that came is dropped."""
    while True:
        try:
            with transaction() as session:
                return write(session) or 0
        except OperationalError as error:
            log.warning("responses wait for the database", error=str(error.orig))
            if pulse.stop is Stop.LOST:
                raise
            time.sleep(RELAY)
