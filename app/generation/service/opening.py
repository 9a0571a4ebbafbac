"""What people ask of generations: begin, stop, go on."""

from uuid import UUID, uuid4

from sqlalchemy import case, func, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.db import JobState
from app.errors import Conflict, Invalid
from app.generation import queries
from app.generation.models import Generation, Writer
from app.generation.schemas import GenerationBody, WriterBody
from app.generation.service.attempts import lane_of
from app.generation.service.endpoints import usable_endpoint
from app.jobs import JobName, defer
from app.projects.models import Project
from app.runs import queries as runs
from app.runs import rules
from app.runs.models import Checkpoint
from app.runs.service import require_weights


def open_generation(
    session: Session, *, project: Project, body: GenerationBody, by: User | None
) -> Generation:
    """Queue the writing of new responses; `Invalid` where one of the writers cannot write."""
    generation_id = uuid4()
    writers = [
        _writer(session, project=project, body=each, generation_id=generation_id, place=place)
        for place, each in enumerate(body.all_writers())
    ]
    if body.select.reward_checkpoint_id is not None:
        _require_judge(session, project=project, checkpoint_id=body.select.reward_checkpoint_id)
    generation = Generation(
        id=generation_id,
        project_id=project.id,
        checkpoint_id=next((each.checkpoint_id for each in writers if each.checkpoint_id), None),
        config=body.config(),
        created_by=by.id if by else None,
    )
    session.add(generation)
    session.flush()  # the answer shows its time and state
    session.add_all(writers)
    session.flush()
    if by is not None:
        audit(
            session,
            user=by,
            action="generation.open",
            target=f"generation {generation.id}",
            project_id=project.id,
            writers=[each.source for each in writers],
        )
    _queue(session, generation)
    return generation


def _queue(session: Session, generation: Generation) -> None:
    lane = lane_of(session, generation.id)
    defer(session, JobName.GENERATE, queue_name=lane, generation_id=str(generation.id))


def _writer(
    session: Session, *, project: Project, body: WriterBody, generation_id: UUID, place: int
) -> Writer:
    writer = Writer(
        generation_id=generation_id,
        place=place,
        n=body.n,
        temperatures=body.temperatures,
        top_p=body.top_p,
        max_new_tokens=body.max_new_tokens,
        seed=body.seed,
        system=(body.system or "").strip() or None,
    )
    if body.checkpoint_id is not None:
        checkpoint = _writing_checkpoint(session, project=project, its=body.checkpoint_id)
        writer.checkpoint_id, writer.name = checkpoint.id, checkpoint.name
        writer.source = checkpoint.source
        return writer
    endpoint = usable_endpoint(session, project=project, called=body.endpoint or "")
    writer.endpoint_id, writer.name, writer.source = endpoint.id, endpoint.name, endpoint.source
    return writer


def _writing_checkpoint(session: Session, *, project: Project, its: UUID) -> Checkpoint:
    checkpoint = runs.checkpoint_in(session, project_id=project.id, checkpoint_id=its)
    if checkpoint is None:
        raise Invalid(f"checkpoint_id: there is no checkpoint {its} in this project.")
    if not rules.is_writer(checkpoint.kind):
        raise Invalid(
            f"“{checkpoint.name}” is a reward model, which scores and does not write. Choose a "
            "checkpoint of SFT, DPO or PPO."
        )
    require_weights(session, checkpoint=checkpoint)
    return checkpoint


def _require_judge(session: Session, *, project: Project, checkpoint_id: UUID) -> None:
    judge = runs.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint_id)
    if judge is None or rules.is_writer(judge.kind):
        raise Invalid(
            "select.reward_checkpoint_id: choosing by uncertainty needs a reward model of this "
            "project. Train one first, or choose in another way."
        )
    require_weights(session, checkpoint=judge)


def cancel_generation(session: Session, *, generation: Generation, by: User) -> Generation:
    """A waiting one is cancelled at once; a running one stops soon. What it wrote stays."""
    is_queued = Generation.state == JobState.QUEUED
    changed = session.scalar(
        update(Generation)
        .where(
            Generation.id == generation.id,
            Generation.state.in_([JobState.QUEUED, JobState.RUNNING]),
        )
        .values(
            state=case((is_queued, JobState.CANCELLED.value), else_=Generation.state),
            finished_at=case((is_queued, func.now()), else_=None),
            cancel_requested_at=func.coalesce(Generation.cancel_requested_at, func.now()),
        )
        .returning(Generation.id)
    )
    session.refresh(generation)
    if changed is None:
        raise Conflict(f"This generation is {generation.state} already.")
    audit(
        session,
        user=by,
        action="generation.cancel",
        target=f"generation {generation.id}",
        project_id=generation.project_id,
    )
    return generation


def resume_generation(session: Session, *, generation: Generation, by: User) -> Generation:
    """Queue a failed or cancelled one again; prompts that have their responses are not redone."""
    for checkpoint in queries.writing_checkpoints(session, generation=generation):
        require_weights(session, checkpoint=checkpoint)
    queued = session.scalar(
        update(Generation)
        .where(
            Generation.id == generation.id,
            Generation.state.in_([JobState.FAILED, JobState.CANCELLED]),
        )
        .values(state=JobState.QUEUED, finished_at=None, cancel_requested_at=None, error=None)
        .returning(Generation.id)
    )
    session.refresh(generation)
    if queued is None:
        rules.must_be_final(generation.state, what="generation")
    _queue(session, generation)
    audit(
        session,
        user=by,
        action="generation.resume",
        target=f"generation {generation.id}",
        project_id=generation.project_id,
    )
    return generation
