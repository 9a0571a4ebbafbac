"""What a worker writes about the evaluation it holds; guarded by its attempt, as a run's is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from app.corpus.models import Response
from app.db import JsonObject
from app.evaluation import queries
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.jobs import JobName, Lane
from app.projects.models import Project
from app.projects.queries import shown_since
from app.runs.rules import storable
from app.runs.service.lease import Lease, Work
from app.tasks import service as tasks
from app.tasks.schemas import NewTask

Side = Literal["a", "b"]
PROMPT: Any = EvaluationPrompt.__table__


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of the pairs: tasks, and prompts that need no judge."""

    tasks: int
    equal: int


def lane_of(session: Session, evaluation_id: UUID) -> Lane:
    """Requests to other servers wait for no training; whatever loads a model takes its turn."""
    evaluation = session.get_one(Evaluation, evaluation_id)
    return Lane.ASK if queries.is_by_endpoints(evaluation) else Lane.TRAIN


WORK = Work(Evaluation, JobName.EVALUATE, "evaluation_id", lane_of)

begin = WORK.begin
hold = WORK.hold
end = WORK.end
release = WORK.release
requeue_lost_evaluations = WORK.requeue_lost


def record_responses(
    session: Session, *, lease: Lease, side: Side, responses: Mapping[UUID, UUID], done: int
) -> None:
    """Which response a contestant gave to each prompt, and how many prompts that makes."""
    hold(session, lease=lease, done=Evaluation.done + done)
    _put(session, lease, {f"{side}_response_id": responses})


def record_refusals(session: Session, *, lease: Lease, side: Side, why: Mapping[UUID, str]) -> None:
    """Say of prompts that an endpoint did not answer what it said instead."""
    hold(session, lease=lease, done=Evaluation.done + len(why))
    said = {key: f"{side.upper()} did not answer it: {reason}" for key, reason in why.items()}
    _put(session, lease, {"left_out": {key: storable(each) for key, each in said.items()}})


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
    # Neither gold nor what the guidelines show as an example can tell which model is better.
    told = shown_since(session, project=project)
    ids = {
        pair.prompt_id: task.task_id
        for pair, task in zip(different, opened, strict=True)
        if not task.is_gold and task.task_id not in told
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
