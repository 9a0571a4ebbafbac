"""Runs, checkpoints and generations, as JSON (contract §3)."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.responses import StreamingResponse

from app import artifacts
from app.accounts.auth import AdminUser, CurrentUser
from app.accounts.models import User
from app.datasets.formats.names import file_name
from app.db import JsonObject, SessionDep
from app.errors import NotFound, found
from app.projects.auth import AdminProject, ViewerProject
from app.runs import queries, service
from app.runs.auth import (
    ManagedGeneration,
    ManagedRun,
    TrainingSnapshot,
    ViewedCheckpoint,
    ViewedGeneration,
    ViewedRun,
)
from app.runs.models import Checkpoint, Generation, Run
from app.runs.schemas import (
    CheckpointOut,
    CheckpointPage,
    DoingOut,
    GenerationBody,
    GenerationOut,
    MetricsOut,
    PriorityBody,
    RunBody,
    RunOut,
    RunPage,
    SamplesOut,
    WorkerList,
    WorkerOut,
)
from app.runs.service import workers

router = APIRouter(tags=["runs"])

Limit = Annotated[int, Query(ge=1, le=200)]
MOST_STEPS = 5000  # of curves in one answer


@router.post("/runs", status_code=202)
def launch_run(
    session: SessionDep, user: CurrentUser, snapshot: TrainingSnapshot, body: RunBody
) -> RunOut:
    """Queue a training on a snapshot; settings and data are checked at once, without torch."""
    return run_out(session, service.launch(session, snapshot=snapshot, body=body, by=user))


@router.get("/projects/{project_id}/runs")
def list_runs(
    session: SessionDep, project: ViewerProject, cursor: UUID | None = None, limit: Limit = 50
) -> RunPage:
    """The runs of a project, newest first."""
    after = None
    if cursor is not None:
        after = found(queries.run_in(session, project_id=project.id, run_id=cursor))
    runs = queries.runs_of(session, project=project, after=after, limit=limit + 1)
    items = [run_out(session, run) for run in runs[:limit]]
    return RunPage(items=items, next_cursor=items[-1].id if len(runs) > limit else None)


@router.get("/runs/{run_id}")
def get_run(session: SessionDep, run: ViewedRun) -> RunOut:
    return run_out(session, run)


@router.get("/runs/{run_id}/metrics")
def run_metrics(
    session: SessionDep,
    run: ViewedRun,
    after_step: Annotated[int, Query(ge=-1)] = -1,
    limit: Annotated[int, Query(ge=1, le=MOST_STEPS)] = MOST_STEPS,
) -> MetricsOut:
    """What was logged after a step. Ask again with the last step; `cursor` is a step, too."""
    items = queries.metrics_of(session, run=run, after_step=after_step, limit=limit + 1)
    return MetricsOut(
        items=items[:limit],
        next_cursor=str(items[limit - 1]["step"]) if len(items) > limit else None,
        state=run.state,
        attempt=run.attempt,
        step=run.step,
        total_steps=run.total_steps,
        seconds_left=queries.time_left(session, run=run),
    )


@router.get("/runs/{run_id}/samples")
def run_samples(
    session: SessionDep,
    run: ViewedRun,
    after_step: Annotated[int, Query(ge=-1)] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> SamplesOut:
    """Texts the model wrote during the run, the last step first."""
    items = queries.samples_of(session, run=run, after_step=after_step, limit=limit)
    return SamplesOut(items=items, next_cursor=None)


@router.get("/runs/{run_id}/evaluation")
def run_evaluation(run: ViewedRun) -> JsonObject:
    """How good a finished reward model is on its test split, in figures and in sentences."""
    evaluation = queries.evaluation_of(run)
    if evaluation is None:
        raise NotFound("This run has no evaluation: only a finished reward model has one.")
    return evaluation


@router.post("/runs/{run_id}/cancel", status_code=202)
def cancel_run(session: SessionDep, user: CurrentUser, run: ManagedRun) -> RunOut:
    """Cancel a waiting run at once; a running one saves a checkpoint and stops."""
    return run_out(session, service.cancel(session, run=run, by=user))


@router.post("/runs/{run_id}/resume", status_code=202)
def resume_run(session: SessionDep, user: CurrentUser, run: ManagedRun) -> RunOut:
    """Queue a failed or cancelled run again, from its last saved step."""
    return run_out(session, service.resume(session, run=run, by=user))


@router.put("/runs/{run_id}/priority")
def set_run_priority(
    session: SessionDep, user: CurrentUser, run: ManagedRun, body: PriorityBody
) -> RunOut:
    """Let a run that waits start sooner (up to 2) or later (down to -2) than others."""
    return run_out(session, service.set_priority(session, run=run, priority=body.priority, by=user))


@router.get("/workers")
def list_workers(session: SessionDep, _: AdminUser) -> WorkerList:
    """The workers of the installation: what each can do, and what it does now."""
    return WorkerList(items=[worker_out(each) for each in queries.workers(session)])


@router.post("/workers/{worker_id}/drain")
def drain_worker(session: SessionDep, user: AdminUser, worker_id: UUID) -> WorkerOut:
    """Let a worker finish what it does and take nothing new."""
    return _drained(session, user, worker_id, wanted=True)


@router.post("/workers/{worker_id}/take-work")
def let_worker_take_work(session: SessionDep, user: AdminUser, worker_id: UUID) -> WorkerOut:
    """Let a drained worker take work again."""
    return _drained(session, user, worker_id, wanted=False)


def _drained(session: Session, user: User, worker_id: UUID, *, wanted: bool) -> WorkerOut:
    changed = workers.drain(session, worker_id=worker_id, wanted=wanted, by=user)
    every = queries.workers(session)
    return worker_out(next(each for each in every if each.worker.id == changed.id))


@router.get("/projects/{project_id}/checkpoints")
def list_checkpoints(session: SessionDep, project: ViewerProject) -> CheckpointPage:
    """All checkpoints of a project, newest first."""
    found_ones = queries.checkpoints_of(session, project=project)
    return CheckpointPage(items=[checkpoint_out(one) for one in found_ones], next_cursor=None)


@router.get("/checkpoints/{checkpoint_id}")
def get_checkpoint(checkpoint: ViewedCheckpoint) -> CheckpointOut:
    return checkpoint_out(checkpoint)


@router.get("/checkpoints/{checkpoint_id}/lineage")
def checkpoint_lineage(session: SessionDep, checkpoint: ViewedCheckpoint) -> JsonObject:
    """Down to snapshots, annotations, annotators' pseudonyms and guideline versions."""
    return queries.lineage(session, checkpoint=checkpoint)


@router.get(
    "/checkpoints/{checkpoint_id}/archive",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
def checkpoint_archive(checkpoint: ViewedCheckpoint) -> StreamingResponse:
    """The model folder as one zip."""
    files = [str(file["path"]) for file in checkpoint.files]
    name = f"{file_name(checkpoint.name)}.zip"
    return StreamingResponse(
        artifacts.zipped(checkpoint.path, files),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/projects/{project_id}/generations", status_code=202)
def generate(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: GenerationBody
) -> GenerationOut:
    """Let a checkpoint write new responses to the project's prompts; they become tasks."""
    generation = service.open_generation(session, project=project, body=body, by=user)
    return generation_out(generation)


@router.get("/generations/{generation_id}")
def get_generation(generation: ViewedGeneration) -> GenerationOut:
    return generation_out(generation)


@router.post("/generations/{generation_id}/cancel", status_code=202)
def cancel_generation(
    session: SessionDep, user: CurrentUser, generation: ManagedGeneration
) -> GenerationOut:
    """Stop writing; the responses and tasks that are there stay."""
    return generation_out(service.cancel_generation(session, generation=generation, by=user))


@router.post("/generations/{generation_id}/resume", status_code=202)
def resume_generation(
    session: SessionDep, user: CurrentUser, generation: ManagedGeneration
) -> GenerationOut:
    """Go on where a failed or cancelled one stopped."""
    return generation_out(service.resume_generation(session, generation=generation, by=user))


def run_out(session: Session, run: Run) -> RunOut:
    checkpoint = queries.final_checkpoint(session, run=run)
    return RunOut(
        id=str(run.id),
        project_id=str(run.project_id),
        snapshot_id=str(run.snapshot_id),
        kind=run.kind,
        name=run.name,
        state=run.state,
        attempt=run.attempt,
        step=run.step,
        total_steps=run.total_steps,
        seconds_left=queries.time_left(session, run=run),
        base={key: value for key, value in run.base.items() if key != "path"},
        parent_checkpoint_id=_text(run.parent_checkpoint_id),
        reward_checkpoint_id=_text(run.reward_checkpoint_id),
        reward_run_id=_text(run.reward_run_id),
        checkpoint_id=_text(checkpoint.id) if checkpoint else None,
        config=run.config,
        metrics=run.metrics,
        error=run.error,
        priority=run.priority,
        needs=run.needs,
        waits_because=queries.why_it_waits(session, run=run),
        cancel_requested_at=run.cancel_requested_at,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


def worker_out(connected: queries.Connected) -> WorkerOut:
    worker = connected.worker
    doing = [
        DoingOut(
            job=each.job,
            run_id=str(each.run.id) if each.run else None,
            project_id=str(each.project.id) if each.project else None,
        )
        for each in connected.doing
    ]
    return WorkerOut(
        id=str(worker.id),
        host=worker.host,
        pid=worker.pid,
        version=worker.version,
        state=connected.state,
        queues=worker.queues,
        capabilities=worker.capabilities,
        doing=doing,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        draining_at=worker.draining_at,
    )


def checkpoint_out(checkpoint: Checkpoint) -> CheckpointOut:
    return CheckpointOut(
        id=str(checkpoint.id),
        project_id=str(checkpoint.project_id),
        run_id=_text(checkpoint.run_id),
        kind=checkpoint.kind,
        name=checkpoint.name,
        step=checkpoint.step,
        is_final=checkpoint.is_final,
        parent_id=_text(checkpoint.parent_id),
        bytes=checkpoint.bytes,
        sha256=checkpoint.sha256,
        files=checkpoint.files,
        metrics=checkpoint.metrics,
        created_at=checkpoint.created_at,
    )


def generation_out(generation: Generation) -> GenerationOut:
    return GenerationOut(
        id=str(generation.id),
        project_id=str(generation.project_id),
        checkpoint_id=str(generation.checkpoint_id),
        state=generation.state,
        attempt=generation.attempt,
        config=generation.config,
        done=generation.done,
        total=generation.total,
        tasks_opened=generation.tasks_opened,
        error=generation.error,
        created_at=generation.created_at,
        finished_at=generation.finished_at,
    )


def _text(identity: UUID | None) -> str | None:
    return None if identity is None else str(identity)
