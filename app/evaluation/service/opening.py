"""What people ask for: compare two models, stop that, go on with it."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from sqlalchemy import case, func, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.datasets.models import Snapshot
from app.db import JobState, bulk_insert
from app.errors import Conflict, Invalid
from app.evaluation import queries
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.evaluation.queries.drawing import Drawn
from app.evaluation.queries.reading import Contestant
from app.evaluation.schemas import Contestant as ContestantBody
from app.evaluation.schemas import EvaluationBody
from app.evaluation.service.attempts import lane_of
from app.generation.models import Endpoint
from app.generation.service import usable_endpoint
from app.jobs import JobName, defer
from app.projects.models import Project
from app.runs import queries as runs
from app.runs import rules as run_rules
from app.runs.models import Checkpoint, RunKind


def open_evaluation(
    session: Session, *, project: Project, body: EvaluationBody, by: User | None
) -> Evaluation:
    """Draw the prompts and queue the writing; the worker then opens the tasks.

    `Invalid` names what cannot be used. `by` is None where the platform itself asks.
    """
    a = _contestant(session, project, body.a, field="a")
    b = None if body.b.data else _contestant(session, project, body.b, field="b")
    if b is not None and a.id == b.id:
        raise _wrong("b", "it is A already: choose another one.")
    contestants = [a, *([b] if b else [])]
    reward = _reward(session, project, body.reward_checkpoint_id)
    test_of = _snapshot(session, project, body.snapshot_id)
    trained = [each for each in contestants if isinstance(each, Checkpoint)]
    taught = queries.taught_by(session, checkpoints=trained)
    drawn = queries.draw(session, project=project, body=body, taught=taught, test_of=test_of)
    if not drawn.prompt_ids:
        raise Invalid(_nothing(body, drawn))
    judgements = max(body.judgements or project.overlap_min, project.overlap_min)
    left_out = {"a", "b", "name", "reward_checkpoint_id"}
    evaluation = Evaluation(
        id=uuid4(),
        project_id=project.id,
        name=body.name or f"{a.name} against {b.name if b else 'the data'}",
        **_ids(a=a, b=b),
        reward_checkpoint_id=reward.id if reward else None,
        config=body.model_dump(mode="json", exclude=left_out) | {"judgements": judgements},
        warnings=[
            *_warnings(body, drawn),
            *(_unknown(each) for each in contestants if isinstance(each, Endpoint)),
        ],
        total=len(drawn.prompt_ids),
        created_by=by.id if by else None,
    )
    session.add(evaluation)
    session.flush()  # its prompts point to it
    _add_prompts(session, evaluation, drawn.prompt_ids, a=a, b=b)
    if by is not None:
        audit(
            session,
            user=by,
            action="evaluation.open",
            target=f"evaluation {evaluation.id}",
            project_id=project.id,
            a=str(a.id),
            b=str(b.id) if b else "data",
            prompts=len(drawn.prompt_ids),
        )
    _queue(session, evaluation)
    return evaluation


def _queue(session: Session, evaluation: Evaluation) -> None:
    lane = lane_of(session, evaluation.id)
    defer(session, JobName.EVALUATE, queue_name=lane, evaluation_id=str(evaluation.id))


def _ids(*, a: Contestant, b: Contestant | None) -> dict[str, UUID]:
    """Of each contestant that is not the data, its column and its id."""
    return {
        f"{side}_{'endpoint' if isinstance(each, Endpoint) else 'checkpoint'}_id": each.id
        for side, each in (("a", a), ("b", b))
        if each is not None
    }


def _contestant(
    session: Session, project: Project, body: ContestantBody, *, field: str
) -> Contestant:
    if body.endpoint is not None:
        return usable_endpoint(session, project=project, called=body.endpoint, field=field)
    assert body.checkpoint is not None
    return _writer(session, project, body.checkpoint, field=field)


def _writer(session: Session, project: Project, checkpoint_id: UUID, *, field: str) -> Checkpoint:
    checkpoint = runs.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint_id)
    if checkpoint is None:
        raise _wrong(field, f"there is no checkpoint {checkpoint_id} in this project.")
    if not run_rules.is_writer(checkpoint.kind):
        raise _wrong(
            field,
            f"“{checkpoint.name}” is a reward model, which scores and does not write. Choose a "
            "checkpoint of SFT, DPO or PPO.",
        )
    return checkpoint


def _reward(session: Session, project: Project, checkpoint_id: UUID | None) -> Checkpoint | None:
    if checkpoint_id is None:
        return None
    checkpoint = runs.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint_id)
    if checkpoint is None:
        raise _wrong(
            "reward_checkpoint_id", f"there is no checkpoint {checkpoint_id} in this project."
        )
    if checkpoint.kind is not RunKind.REWARD:
        raise _wrong(
            "reward_checkpoint_id",
            f"“{checkpoint.name}” writes and does not score. Choose a reward model.",
        )
    return checkpoint


def _snapshot(session: Session, project: Project, snapshot_id: UUID | None) -> Snapshot | None:
    if snapshot_id is None:
        return None
    snapshot = runs.snapshot_in(session, project_id=project.id, snapshot_id=snapshot_id)
    if snapshot is None or snapshot.state is not JobState.SUCCEEDED:
        raise _wrong("snapshot_id", f"there is no finished snapshot {snapshot_id} in this project.")
    if not snapshot.recipe.get("test_share"):
        raise _wrong(
            "snapshot_id",
            f"“{snapshot.name}” has no test split. Choose another one, or none.",
        )
    return snapshot


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=[{"field": field, "message": message}])


def _nothing(body: EvaluationBody, drawn: Drawn) -> str:
    if drawn.passed_by:
        return (
            f"All {drawn.passed_by:,} prompts that fit may have been in the training of a "
            "contestant, which would flatter it. Import fresh prompts, or allow seen ones."
        )
    if body.b.data:
        return "No prompt that fits has a judged response yet: judge some tasks first."
    return "No prompt fits: import some, or choose another tag, source or snapshot."


def _warnings(body: EvaluationBody, drawn: Drawn) -> list[str]:
    number = len(drawn.prompt_ids)
    found = []
    if drawn.seen:
        found.append(
            f"{drawn.seen:,} of {number:,} prompts may have been in the training of a contestant: "
            "the result may flatter it."
        )
    if number < body.prompts:
        why = (
            f" {drawn.passed_by:,} more were passed by, because a contestant may have been "
            "trained on them."
            if drawn.passed_by
            else ""
        )
        found.append(f"Only {number:,} of the {body.prompts:,} prompts asked for fit.{why}")
    return found


def _unknown(contestant: Contestant) -> str:
    return (
        f"What {contestant.name} was trained on is not known here: it may have seen these prompts, "
        "which flatters it."
    )


def _add_prompts(
    session: Session,
    evaluation: Evaluation,
    prompt_ids: Sequence[UUID],
    *,
    a: Contestant,
    b: Contestant | None,
) -> None:
    best: dict[UUID, UUID] = {}
    if b is None:
        best = queries.best_judged(session, prompt_ids=prompt_ids, not_by=a)
    rows = [
        {
            "evaluation_id": evaluation.id,
            "prompt_id": prompt_id,
            "place": place,
            "is_equal": False,
            "b_response_id": best.get(prompt_id),
            "left_out": "No judged response in the data."
            if b is None and prompt_id not in best
            else None,
        }
        for place, prompt_id in enumerate(prompt_ids)
    ]
    session.execute(bulk_insert(EvaluationPrompt, rows))


def cancel_evaluation(session: Session, *, evaluation: Evaluation, by: User) -> Evaluation:
    """Stop the writing: at once while it waits, soon while it runs. What is there stays."""
    is_queued = Evaluation.state == JobState.QUEUED
    changed = session.scalar(
        update(Evaluation)
        .where(
            Evaluation.id == evaluation.id,
            Evaluation.state.in_([JobState.QUEUED, JobState.RUNNING]),
        )
        .values(
            state=case((is_queued, JobState.CANCELLED.value), else_=Evaluation.state),
            finished_at=case((is_queued, func.now()), else_=None),
            cancel_requested_at=func.coalesce(Evaluation.cancel_requested_at, func.now()),
        )
        .returning(Evaluation.id)
    )
    session.refresh(evaluation)
    if changed is None:
        raise Conflict(f"The writing of this evaluation has {evaluation.state} already.")
    _note(session, evaluation, by, "cancel")
    return evaluation


def resume_evaluation(session: Session, *, evaluation: Evaluation, by: User) -> Evaluation:
    """Go on with the writing where it failed or was cancelled; what is written stays."""
    queued = session.scalar(
        update(Evaluation)
        .where(
            Evaluation.id == evaluation.id,
            Evaluation.state.in_([JobState.FAILED, JobState.CANCELLED]),
        )
        .values(state=JobState.QUEUED, finished_at=None, cancel_requested_at=None, error=None)
        .returning(Evaluation.id)
    )
    session.refresh(evaluation)
    if queued is None:
        raise Conflict(f"The writing of this evaluation is {evaluation.state} already.")
    _queue(session, evaluation)
    _note(session, evaluation, by, "resume")
    return evaluation


def _note(session: Session, evaluation: Evaluation, by: User, verb: str) -> None:
    audit(
        session,
        user=by,
        action=f"evaluation.{verb}",
        target=f"evaluation {evaluation.id}",
        project_id=evaluation.project_id,
    )
