"""What a worker writes about the evaluation it holds; guarded by its attempt, as a run's is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from app.corpus.models import Response
from app.db import JobState, JsonObject
from app.errors import LeaseLost
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.jobs import JobName, defer
from app.projects.models import Project
from app.runs.rules import storable
from app.runs.service.lease import Lease
from app.tasks import service as tasks
from app.tasks.schemas import NewTask

Side = Literal["a", "b"]
PROMPT: Any = EvaluationPrompt.__table__


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of the pairs: tasks, and prompts that need no judge."""

    tasks: int
    equal: int


def begin(session: Session, *, evaluation_id: UUID) -> Lease | None:
    """Take a queued evaluation as a new attempt; None where there is nothing to take."""
    attempt = session.scalar(
        update(Evaluation)
        .where(Evaluation.id == evaluation_id, Evaluation.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            attempt=Evaluation.attempt + 1,
            seen_at=func.now(),
            started_at=func.now(),
            error=None,
        )
        .returning(Evaluation.attempt)
    )
    return None if attempt is None else Lease(evaluation_id, attempt)


def hold(session: Session, *, lease: Lease, **values: Any) -> bool:
    """Say that the attempt lives, with new `values`; True when somebody asked to cancel it."""
    row = session.execute(
        _held(lease).values(seen_at=func.now(), **values).returning(Evaluation.cancel_requested_at)
    ).one_or_none()
    if row is None:
        raise LeaseLost(lease)
    return row.cancel_requested_at is not None


def end(session: Session, *, lease: Lease, state: JobState, error: str | None = None) -> None:
    closed = session.scalar(
        _held(lease)
        .values(
            state=state,
            finished_at=func.now(),
            seen_at=func.now(),
            activity=None,
            error=storable(error),
        )
        .returning(Evaluation.id)
    )
    if closed is None:
        raise LeaseLost(lease)


def release(session: Session, *, lease: Lease) -> None:
    """Put it back into the queue, because its worker stops or was lost."""
    freed = session.scalar(_held(lease).values(state=JobState.QUEUED).returning(Evaluation.id))
    if freed is None:
        raise LeaseLost(lease)
    defer(session, JobName.EVALUATE, evaluation_id=str(lease.id))


def requeue_lost_evaluations(session: Session, *, silent_for: timedelta) -> int:
    """Take evaluations from workers that have not been heard of; the number of them."""
    silent = session.scalars(
        select(Evaluation)
        .where(
            Evaluation.state == JobState.RUNNING,
            Evaluation.seen_at < func.now() - silent_for,
        )
        .with_for_update(skip_locked=True)
    ).all()
    for evaluation in silent:
        lease = Lease(evaluation.id, evaluation.attempt)
        if evaluation.cancel_requested_at is not None:
            end(session, lease=lease, state=JobState.CANCELLED)
        else:
            release(session, lease=lease)
    return len(silent)


def record_responses(
    session: Session, *, lease: Lease, side: Side, responses: Mapping[UUID, UUID], done: int
) -> None:
    """Which response a contestant gave to each prompt, and how many prompts that makes."""
    hold(session, lease=lease, done=Evaluation.done + done)
    _put(session, lease, {f"{side}_response_id": responses})


def leave_out_unanswered(session: Session, *, lease: Lease, side: Side) -> int:
    """Say of prompts without an answer that there is none: too long, or the template refuses."""
    hold(session, lease=lease)
    column = EvaluationPrompt.a_response_id if side == "a" else EvaluationPrompt.b_response_id
    left = session.scalars(
        update(EvaluationPrompt)
        .where(
            EvaluationPrompt.evaluation_id == lease.id,
            column.is_(None),
            EvaluationPrompt.left_out.is_(None),
        )
        .values(
            left_out=f"{side.upper()} cannot answer it: it is too long, or the model’s chat "
            "template refuses it."
        )
        .returning(EvaluationPrompt.prompt_id)
    ).all()
    return len(left)


def open_pairs(session: Session, *, lease: Lease) -> Opened:
    """Let people judge wherever the two answers differ; again, it adds nothing."""
    hold(session, lease=lease)
    evaluation = session.get_one(Evaluation, lease.id)
    project = session.get_one(Project, evaluation.project_id)
    pairs = _pairs(session, evaluation)
    different = [pair for pair in pairs if pair.a_text != pair.b_text]
    opened = tasks.open_tasks(
        session,
        project=project,
        tasks=[
            NewTask(
                prompt_id=pair.prompt_id,
                response_ids=[pair.a_response_id, pair.b_response_id],
                priority=int(evaluation.config["priority"]),
            )
            for pair in different
        ],
    )
    ids = {
        pair.prompt_id: task.task_id
        for pair, task in zip(different, opened, strict=True)
        if not task.is_gold
    }
    if evaluation.closed_at is None:
        tasks.ask_of_each(
            session,
            task_ids=sorted(ids.values()),
            at_least=int(evaluation.config["judgements"]),
            priority=int(evaluation.config["priority"]),
        )
    _put(session, lease, {"task_id": ids})
    equal = {pair.prompt_id: True for pair in pairs if pair.a_text == pair.b_text}
    _put(session, lease, {"is_equal": equal})
    hold(session, lease=lease, opened_at=func.coalesce(Evaluation.opened_at, func.now()))
    return Opened(len(ids), len(equal))


def _pairs(session: Session, evaluation: Evaluation) -> Sequence[Any]:
    a, b = Response.__table__.alias("a"), Response.__table__.alias("b")
    return session.execute(
        select(
            EvaluationPrompt.prompt_id,
            EvaluationPrompt.a_response_id,
            EvaluationPrompt.b_response_id,
            func.btrim(a.c.text).label("a_text"),
            func.btrim(b.c.text).label("b_text"),
        )
        .join(a, a.c.id == EvaluationPrompt.a_response_id)
        .join(b, b.c.id == EvaluationPrompt.b_response_id)
        .where(EvaluationPrompt.evaluation_id == evaluation.id, EvaluationPrompt.task_id.is_(None))
        .order_by(EvaluationPrompt.place)
    ).all()


def record_scores(
    session: Session, *, lease: Lease, scores: Mapping[UUID, tuple[float | None, float | None]]
) -> None:
    """What the reward model gives the two responses to each prompt."""
    hold(session, lease=lease, done=Evaluation.done + len(scores))
    a = {prompt_id: pair[0] for prompt_id, pair in scores.items()}
    b = {prompt_id: pair[1] for prompt_id, pair in scores.items()}
    _put(session, lease, {"a_score": a, "b_score": b})


def record_samples(
    session: Session, *, lease: Lease, side: Side, scores: Mapping[UUID, Sequence[float]]
) -> None:
    """The scores of a contestant's further responses to each prompt."""
    hold(session, lease=lease, done=Evaluation.done + len(scores))
    _put(session, lease, {f"{side}_samples": {key: list(given) for key, given in scores.items()}})


def _put(session: Session, lease: Lease, columns: Mapping[str, Mapping[UUID, Any]]) -> None:
    """Set columns of the evaluation's prompts, each its own value."""
    keys = sorted({key for values in columns.values() for key in values})
    if not keys:
        return
    rows: list[JsonObject] = [
        {"of": lease.id, "at": key} | {f"new_{name}": of.get(key) for name, of in columns.items()}
        for key in keys
    ]
    session.connection().execute(
        update(PROMPT)
        .where(PROMPT.c.evaluation_id == bindparam("of"), PROMPT.c.prompt_id == bindparam("at"))
        .values({name: bindparam(f"new_{name}") for name in columns}),
        rows,
    )


def _held(lease: Lease) -> Any:
    return update(Evaluation).where(
        Evaluation.id == lease.id,
        Evaluation.attempt == lease.attempt,
        Evaluation.state == JobState.RUNNING,
    )
