"""Two contestants answer the prompts of an evaluation, people are asked, a reward model scores."""

import json
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select
from sqlalchemy.orm import Session

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
from app.jobs import JobName, Lane, queue
from app.projects.models import Project
from app.runs import rules
from app.runs.models import Checkpoint
from app.tasks import service as tasks
from app.worker.contestants import Attempt, Ended, Order, judge, let_answer
from app.worker.folders import work_folder
from app.worker.lease import Pulse, Stop

log = structlog.get_logger(__name__)


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
            let_answer(attempt, side, prompts, output, n=1, store=store)
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
        judge(attempt, lines, output, store=partial(_store_scores, attempt))
    n = int(attempt.order.config["best_of"])
    for side, contestant in attempt.order.contestants.items() if n else ():
        prompts = attempt.folder / f"{side}-best-prompts.jsonl"
        with transaction() as session:
            number = _put_prompts(session, attempt, prompts, without=f"{side}_samples")
        if not number:
            continue
        attempt.busy_with(f"{contestant.name} answers {n} times over", total=number)
        written = attempt.folder / f"{side}-best.jsonl"
        let_answer(attempt, side, prompts, written, n=n, store=partial(_count, attempt))
        attempt.busy_with(f"{reward.name} scores the {n} answers", total=number)
        output = attempt.folder / f"{side}-best-scores.jsonl"
        judge(attempt, written, output, store=partial(_store_samples, attempt, side))


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
