"""Two contestants answer the prompts of an evaluation, people are asked, a reward model scores."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.config import settings
from app.corpus import service as corpus
from app.corpus.models import Prompt, Response
from app.corpus.schemas import NewResponse
from app.db import JobState, JsonObject, transaction
from app.errors import AppError, LeaseLost
from app.evaluation import queries
from app.evaluation import service as evaluations
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.evaluation.queries.reading import Contestant
from app.evaluation.service import attempts
from app.evaluation.service.attempts import Side
from app.generation.models import Endpoint
from app.generation.rules import Turn
from app.generation.service import target_of
from app.jobs import JobName, Lane, queue
from app.projects.models import Project
from app.runs import rules
from app.runs.models import Checkpoint
from app.runs.service.lease import Lease
from app.tasks import service as tasks
from app.worker.endpoints import Asking, answers
from app.worker.folders import work_folder
from app.worker.inputs import ModelSource, materialised, model_source
from app.worker.lease import GRACE, RELAY, Pulse, Stop
from app.worker.process import TRAINER, Child, Lines

log = structlog.get_logger(__name__)

AT_ONCE = 100  # prompts stored in one transaction
FRESH = 1  # added to the seed: best of n draws other responses than those people judge
Store = Callable[[Session, Sequence[JsonObject]], None]
T = TypeVar("T")


@queue.task(name=JobName.EVALUATE, queue=Lane.TRAIN, pass_context=True)
def evaluate(context: JobContext, *, evaluation_id: str) -> None:
    evaluate_now(UUID(evaluation_id), stopping=context.additional_context["stopping"])


@queue.periodic(cron="* * * * *", periodic_id="evaluations")
@queue.task(name="settle_evaluations", queue=Lane.DATA)
def settle_evaluations(timestamp: int) -> None:  # noqa: ARG001 - given by the queue
    """Each minute: close what is decided, and what opened again since."""
    settle_now()


def settle_now() -> int:
    """Look at every evaluation that people are asked about, each by itself; how many closed."""
    closed = 0
    with transaction() as session:
        open_ones = [one.id for one in queries.being_judged(session)]
        closed_ones = [one.id for one in queries.closed_lately(session)]
    for evaluation_id in open_ones:
        with transaction() as session:
            evaluation = session.get(Evaluation, evaluation_id)
            if evaluation is not None:
                closed += evaluations.settle(session, evaluation=evaluation)
    for evaluation_id in closed_ones:
        with transaction() as session:
            evaluation = session.get(Evaluation, evaluation_id)
            if evaluation is not None:
                evaluations.close_again(session, evaluation=evaluation)
    return closed


@dataclass(frozen=True)
class Order:
    """What is to be done, as the database says."""

    id: UUID
    project_id: UUID
    contestants: dict[Side, Contestant]
    reward: Checkpoint | None
    config: JsonObject


@dataclass(frozen=True)
class Attempt:
    order: Order
    lease: Lease
    folder: Path
    pulse: Pulse

    def busy_with(self, what: str, *, total: int) -> None:
        with transaction() as session:
            attempts.hold(session, lease=self.lease, activity=what, done=0, total=total)


class Ended(Exception):
    """A child did not end well: why, in words."""


def evaluate_now(evaluation_id: UUID, *, stopping: threading.Event) -> None:
    """Take the evaluation; what its contestants write is stored as it comes."""
    with transaction() as session:
        lease = attempts.begin(session, evaluation_id)
        order = _order(session, evaluation_id=evaluation_id) if lease else None
    if lease is None or order is None:
        return
    try:
        with (
            Pulse(partial(attempts.hold, lease=lease), stopping=stopping) as pulse,
            work_folder("evaluations", lease) as folder,
        ):
            _carry_out(Attempt(order, lease, folder, pulse))
    except LeaseLost:
        log.warning("another attempt has the evaluation", evaluation=str(evaluation_id))


def _order(session: Session, *, evaluation_id: UUID) -> Order:
    evaluation = session.get_one(Evaluation, evaluation_id)
    a, b = queries.contestants_of(session, evaluation=evaluation)
    contestants: dict[Side, Contestant] = {"a": a} if b is None else {"a": a, "b": b}
    reward = evaluation.reward_checkpoint_id
    order = Order(
        evaluation.id,
        evaluation.project_id,
        contestants,
        session.get_one(Checkpoint, reward) if reward else None,
        evaluation.config,
    )
    session.expunge_all()
    return order


def _carry_out(attempt: Attempt) -> None:
    """All of it, and end the attempt as it went."""
    error: str | None = None
    try:
        _write_and_open(attempt)
        _score(attempt)
    except Ended as ended:
        error = str(ended)
    except AppError as wrong:
        error = wrong.detail
    except LeaseLost:
        raise
    except Exception as wrong:
        log.exception("evaluation failed unexpectedly", evaluation=str(attempt.order.id))
        error = (
            f"The worker could not carry this out ({type(wrong).__name__}: {wrong}). Its log has "
            "the details; go on once the cause is gone."
        )
    stop = attempt.pulse.stop
    end = partial(attempts.end, lease=attempt.lease, activity=None)
    with transaction() as session:
        if error is None:
            end(session, state=JobState.SUCCEEDED)
        elif stop is Stop.CANCEL:
            end(session, state=JobState.CANCELLED)
        elif stop is Stop.SHUTDOWN:
            attempts.release(session, lease=attempt.lease)
        else:
            end(session, state=JobState.FAILED, error=error)


def _write_and_open(attempt: Attempt) -> None:
    for side, contestant in attempt.order.contestants.items():
        prompts = attempt.folder / f"{side}-prompts.jsonl"
        with transaction() as session:
            number = _put_prompts(session, attempt, prompts, without=f"{side}_response_id")
        if number:
            attempt.busy_with(f"{contestant.name} answers", total=number)
            output = attempt.folder / f"{side}-responses.jsonl"
            store = partial(_store_responses, attempt, side)
            _let_answer(attempt, side, prompts, output, n=1, store=store)
        with transaction() as session:
            attempts.leave_out_unanswered(session, lease=attempt.lease, side=side)
    attempt.busy_with("Asking people", total=0)
    with transaction() as session:
        project = session.get_one(Project, attempt.order.project_id)
        tasks.lock_opening(session, project=project)
        attempts.open_pairs(session, lease=attempt.lease)


def _score(attempt: Attempt) -> None:
    """The same prompts by a reward model, and how much better the best of n would be."""
    reward = attempt.order.reward
    if reward is None:
        return
    lines = attempt.folder / "pairs.jsonl"
    with transaction() as session:
        number = _put_pairs(session, attempt, lines)
    if number:
        attempt.busy_with(f"{reward.name} scores", total=number)
        output = attempt.folder / "scores.jsonl"
        _judge(attempt, lines, output, store=partial(_store_scores, attempt))
    n = int(attempt.order.config["best_of"])
    for side, contestant in attempt.order.contestants.items() if n else ():
        prompts = attempt.folder / f"{side}-best-prompts.jsonl"
        with transaction() as session:
            number = _put_prompts(session, attempt, prompts, without=f"{side}_samples")
        if not number:
            continue
        attempt.busy_with(f"{contestant.name} answers {n} times over", total=number)
        written = attempt.folder / f"{side}-best.jsonl"
        _let_answer(attempt, side, prompts, written, n=n, store=partial(_count, attempt))
        attempt.busy_with(f"{reward.name} scores the {n} answers", total=number)
        output = attempt.folder / f"{side}-best-scores.jsonl"
        _judge(attempt, written, output, store=partial(_store_samples, attempt, side))


# -- the contestants --------------------------------------------------------------------------


def _let_answer(
    attempt: Attempt, side: Side, prompts: Path, output: Path, *, n: int, store: Store
) -> None:
    """A checkpoint answers as a child, an endpoint where it stands; both into `output`."""
    config = attempt.order.config
    seed = int(config["seed"]) + (FRESH if n > 1 else 0)
    contestant = attempt.order.contestants[side]
    if isinstance(contestant, Endpoint):
        turn = Turn(0, n, float(config["temperature"]), seed)
        _ask(attempt, side, contestant, turn, prompts, output, store)
        return
    _run(
        attempt,
        contestant,
        ["generate", str(prompts)],
        [
            *("--output", str(output), "--source", contestant.source),
            *("--n", str(n), "--temperature", str(config["temperature"])),
            *("--top-p", str(config["top_p"]), "--max-new-tokens", str(config["max_new_tokens"])),
            *("--seed", str(seed), "--device", settings.train_device),
        ],
        output,
        store,
    )


def _ask(
    attempt: Attempt,
    side: Side,
    endpoint: Endpoint,
    turn: Turn,
    prompts: Path,
    output: Path,
    store: Store,
) -> None:
    """Store what an endpoint answers, and of prompts that it does not answer the reason."""
    config, pulse = attempt.order.config, attempt.pulse
    asking = Asking(0, turn, config["top_p"], config["max_new_tokens"], endpoint.at_once)
    with prompts.open(encoding="utf-8") as asked, output.open("a", encoding="utf-8") as written:
        lines = {line["id"]: line for line in map(json.loads, asked)}
        for writings in answers(target_of(endpoint), asking, iter(lines.values()), pulse):
            told = [
                lines[str(each.prompt_id)] | {"responses": list(each.texts)}
                for each in writings
                if each.texts
            ]
            written.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in told)
            _stored_or_later(attempt, store, told)
            if turn.n == 1:  # further answers, for the best of n, may be missing
                why = {each.prompt_id: each.error for each in writings if each.error}
                _stored_or_later(attempt, partial(_refuse, attempt, side), why)
    if pulse.stop is Stop.LOST:
        raise LeaseLost(attempt.lease)
    _end_if_asked(attempt)


def _refuse(attempt: Attempt, side: Side, session: Session, why: dict[UUID, str]) -> None:
    attempts.record_refusals(session, lease=attempt.lease, side=side, why=why)


def _stored_or_later(attempt: Attempt, store: Callable[[Session, T], None], what: T) -> None:
    """Store it, and as often again as the database is away: it cost a request each."""
    while what:
        try:
            with transaction() as session:
                store(session, what)
                return
        except OperationalError as error:
            log.warning("what was written waits for the database", error=str(error.orig))
            if attempt.pulse.stop is Stop.LOST:
                raise LeaseLost(attempt.lease) from None
            time.sleep(RELAY)


def _end_if_asked(attempt: Attempt) -> None:
    if attempt.pulse.stop is not None:
        raise Ended("It was asked to stop.")


def _judge(attempt: Attempt, lines: Path, output: Path, *, store: Store) -> None:
    assert attempt.order.reward is not None
    options = ["--output", str(output), "--device", settings.train_device]
    _run(attempt, attempt.order.reward, ["score", str(lines)], options, output, store)


def _run(
    attempt: Attempt,
    checkpoint: Checkpoint,
    what: Sequence[str],
    options: Sequence[str],
    output: Path,
    store: Store,
) -> None:
    """Let a child work, and store what it writes; `Ended` where it does not end well."""
    with transaction() as session:
        source = model_source(session, checkpoint_id=checkpoint.id)
    with ExitStack() as stack:
        model = stack.enter_context(materialised(source or ModelSource(checkpoint.path)))
        command = [*TRAINER, *what, "--model", str(model), *options]
        with attempt.pulse.child(command, log=attempt.folder / "log.txt") as child:
            code = _follow(attempt, child, Lines(output), store)
            words = child.last_words()
    if code:
        raise Ended(rules.failure(code, words))
    _end_if_asked(attempt)


def _follow(attempt: Attempt, child: Child, lines: Lines, store: Store) -> int:
    waiting: list[JsonObject] = []
    while True:
        code = child.poll()  # before the last look, so that nothing is missed
        stop = attempt.pulse.stop
        if stop is not None and code is None:
            code = child.stop(grace=GRACE[stop])
        if stop is Stop.LOST:
            raise LeaseLost(attempt.lease)
        waiting = waiting or lines.new(most=AT_ONCE)
        if waiting:
            try:
                with transaction() as session:
                    store(session, waiting)
                waiting = []
            except OperationalError as error:
                log.warning("what was written waits for the database", error=str(error.orig))
                time.sleep(RELAY)
        elif code is not None:
            return code
        else:
            time.sleep(RELAY)


# -- the database -----------------------------------------------------------------------------


def _write_lines(file: Path, rows: Iterable[JsonObject]) -> int:
    number = 0
    with file.open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            number += 1
    return number


def _put_prompts(session: Session, attempt: Attempt, file: Path, *, without: str) -> int:
    """The prompts that have nothing in this column yet; how many."""
    column = getattr(EvaluationPrompt, without)
    rows = session.execute(
        select(Prompt.id, Prompt.messages, Prompt.system)
        .join(EvaluationPrompt, EvaluationPrompt.prompt_id == Prompt.id)
        .where(
            EvaluationPrompt.evaluation_id == attempt.order.id,
            EvaluationPrompt.left_out.is_(None),
            column.is_(None),
        )
        .order_by(EvaluationPrompt.place)
    )
    return _write_lines(file, (_line(row) for row in rows))


def _line(row: object) -> JsonObject:
    line: JsonObject = {"id": str(row.id), "prompt": row.messages}  # type: ignore[attr-defined]
    if row.system:  # type: ignore[attr-defined]
        line["system"] = row.system  # type: ignore[attr-defined]
    return line


def _put_pairs(session: Session, attempt: Attempt, file: Path) -> int:
    """Both responses to each prompt that has no scores yet."""
    a, b = Response.__table__.alias("a"), Response.__table__.alias("b")
    rows = session.execute(
        select(Prompt.id, Prompt.messages, Prompt.system, a.c.text.label("a"), b.c.text.label("b"))
        .join(EvaluationPrompt, EvaluationPrompt.prompt_id == Prompt.id)
        .join(a, a.c.id == EvaluationPrompt.a_response_id)
        .join(b, b.c.id == EvaluationPrompt.b_response_id)
        .where(
            EvaluationPrompt.evaluation_id == attempt.order.id,
            EvaluationPrompt.a_score.is_(None),
        )
        .order_by(EvaluationPrompt.place)
    )
    return _write_lines(file, (_line(row) | {"responses": [row.a, row.b]} for row in rows))


def _store_responses(
    attempt: Attempt, side: Side, session: Session, lines: Sequence[JsonObject]
) -> None:
    """The answers of a contestant, and where they belong, all or none."""
    attempts.hold(session, lease=attempt.lease)  # first: a lost attempt stores nothing
    project = session.get_one(Project, attempt.order.project_id)
    tasks.lock_opening(session, project=project)  # before the responses, as an import does
    contestant = attempt.order.contestants[side]
    hashes = {
        row.id: row.content_hash
        for row in session.execute(
            select(Prompt.id, Prompt.content_hash).where(
                Prompt.id.in_([UUID(line["id"]) for line in lines])
            )
        )
    }
    config = attempt.order.config
    sampling = {key: config[key] for key in ("temperature", "top_p", "seed")}
    sampling["evaluation"] = str(attempt.order.id)
    if isinstance(contestant, Endpoint):
        sampling["endpoint"] = str(contestant.id)
    new = [
        NewResponse(
            prompt_id=prompt_id,
            prompt_hash=hashes[prompt_id],
            text=rules.storable(line["responses"][0]["text"]),
            source=contestant.source,
            checkpoint_id=contestant.id if isinstance(contestant, Checkpoint) else None,
            sampling=sampling,
        )
        for line in lines
        if (prompt_id := UUID(line["id"])) in hashes
        and line["responses"]
        and line["responses"][0]["text"].strip()
    ]
    stored = corpus.add_responses(session, responses=new)
    attempts.record_responses(
        session,
        lease=attempt.lease,
        side=side,
        responses={one.prompt_id: row.id for one, row in zip(new, stored, strict=True)},
        done=len(lines),
    )


def _store_scores(attempt: Attempt, session: Session, lines: Sequence[JsonObject]) -> None:
    scores = {UUID(line["id"]): (line["scores"][0], line["scores"][1]) for line in lines}
    attempts.record_scores(session, lease=attempt.lease, scores=scores)


def _store_samples(
    attempt: Attempt, side: Side, session: Session, lines: Sequence[JsonObject]
) -> None:
    """Only whole sets: an estimate from fewer scores would be of another n."""
    n = int(attempt.order.config["best_of"])
    scores = {
        UUID(line["id"]): [score for score in line["scores"] if score is not None] for line in lines
    }
    whole = {key: given if len(given) == n else [] for key, given in scores.items()}
    attempts.record_samples(session, lease=attempt.lease, side=side, scores=whole)


def _count(attempt: Attempt, session: Session, lines: Sequence[JsonObject]) -> None:
    attempts.hold(session, lease=attempt.lease, done=Evaluation.done + len(lines))
