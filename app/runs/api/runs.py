"""Runs and checkpoints, as JSON (contract §3)."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.accounts.auth import CurrentUser
from app.datasets.formats.names import file_name
from app.db import JsonObject, SessionDep
from app.errors import NotFound, found
from app.projects.auth import AdminProject, ViewerProject
from app.runs import formats, queries, service
from app.runs.auth import (
    ManagedRun,
    TrainingSnapshot,
    ViewedCheck,
    ViewedRun,
)
from app.runs.models import Run, RunCheck
from app.runs.schemas import (
    ComparisonOut,
    CurveOut,
    CurvesOut,
    EstimateOut,
    LineOut,
    MetricName,
    MetricsOut,
    PriorityBody,
    ResourcesOut,
    RunBody,
    RunCheckOut,
    RunOut,
    RunPage,
    SamplesOut,
    UsageOut,
)
from app.runs.service import checks
from app.web.downloads import folder_archive

router = APIRouter(tags=["runs"])

Limit = Annotated[int, Query(ge=1, le=200)]
Step = Annotated[int, Query(ge=-1, lt=2**31 - 1)]
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


@router.get("/projects/{project_id}/runs/compare")
def compare(
    session: SessionDep,
    project: ViewerProject,
    run: Annotated[list[UUID], Query(min_length=1, max_length=formats.MOST)],
) -> ComparisonOut:
    """Settings, evaluations and last figures of runs, each as a list in the order of the runs."""
    runs = queries.runs_in(session, project=project, ids=run)
    if len(runs) < len(set(run)):
        raise NotFound("One of these runs is not in this project.")
    sides = [formats.Side(**side) for side in queries.sides_of(session, runs=runs)]
    return ComparisonOut(
        runs=[run_out(session, each) for each in runs],
        settings=[LineOut(**asdict(line)) for line in formats.settings_of(sides)],
        evaluation=[LineOut(**asdict(line)) for line in formats.evaluations_of(sides)],
        figures=[LineOut(**asdict(line)) for line in formats.figures_of(sides)],
    )


@router.get("/runs/{run_id}")
def get_run(session: SessionDep, run: ViewedRun) -> RunOut:
    return run_out(session, run)


@router.get("/runs/{run_id}/metrics")
def run_metrics(
    session: SessionDep,
    run: ViewedRun,
    after_step: Step = -1,
    cursor: Step = -1,
    limit: Annotated[int, Query(ge=1, le=MOST_STEPS)] = MOST_STEPS,
) -> MetricsOut:
    """What was logged after a step. Ask again with the last step; `cursor` is a step, too."""
    after_step = max(after_step, cursor)
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


@router.get("/runs/{run_id}/curves")
def run_curves(
    session: SessionDep,
    run: ViewedRun,
    metric: Annotated[list[MetricName], Query(max_length=64)],
    after_step: Step = -1,
    points: Annotated[int, Query(ge=2, le=10_000)] = 1000,
) -> CurvesOut:
    """Curves in about so many points each, whatever the number of steps: extremes are kept."""
    curves, last = queries.curves_of(
        session, run=run, names=metric, after_step=after_step, points=points
    )
    return CurvesOut(
        curves={name: CurveOut(**curve) for name, curve in curves.items()},
        last_step=last,
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
    after_step: Step = -1,
    cursor: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> SamplesOut:
    """Texts the model wrote during the run, the last step first."""
    after = None
    if cursor is not None:
        after = found(queries.sample_in(session, run=run, sample_id=cursor))
    items = queries.samples_of(
        session, run=run, after_step=after_step, after=after, limit=limit + 1
    )
    return SamplesOut(
        items=items[:limit],
        next_cursor=items[limit - 1]["id"] if len(items) > limit else None,
    )


@router.get("/runs/{run_id}/resources")
def run_resources(
    session: SessionDep, run: ViewedRun, points: Annotated[int, Query(ge=1, le=5000)] = 400
) -> ResourcesOut:
    """What its processes took: cores in use, bytes of memory; the highest of each stretch."""
    items = queries.usage_of(session, run=run, points=points)
    return ResourcesOut(items=[UsageOut(**item) for item in items], state=run.state)


@router.get("/runs/{run_id}/evaluation")
def run_evaluation(run: ViewedRun) -> JsonObject:
    """How good a finished reward model is on its test split, in figures and in sentences."""
    evaluation = queries.evaluation_of(run)
    if evaluation is None:
        raise NotFound("This run has no evaluation: only a finished reward model has one.")
    return evaluation


@router.get(
    "/runs/{run_id}/archive",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def run_archive(request: Request, run: ViewedRun) -> Response:
    """All files of an ended run as one zip: settings, curves, texts, log and model."""
    if run.path is None:
        raise NotFound(service.no_files(run))
    return folder_archive(request, folder=run.path, filename=file_name(run.name))


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


@router.post("/projects/{project_id}/run-checks", status_code=202)
def check_run(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: RunBody
) -> RunCheckOut:
    """Rehearse a run on a worker: a few updates, nothing kept. `GET /run-checks/{id}` has more."""
    snapshot = queries.snapshot_in(session, project_id=project.id, snapshot_id=body.snapshot_id)
    check = checks.request_check(session, snapshot=found(snapshot), body=body, by=user)
    return check_out(session, check)


@router.get("/run-checks/{check_id}")
def get_run_check(session: SessionDep, check: ViewedCheck) -> RunCheckOut:
    return check_out(session, check)


@router.post("/projects/{project_id}/run-estimates")
def estimate_run(session: SessionDep, project: AdminProject, body: RunBody) -> EstimateOut:
    """Steps and time of a run at once, from its rows and from earlier runs; nothing is kept."""
    snapshot = queries.snapshot_in(session, project_id=project.id, snapshot_id=body.snapshot_id)
    return EstimateOut(**service.estimate(session, snapshot=found(snapshot), body=body))


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


def check_out(session: Session, check: RunCheck) -> RunCheckOut:
    return RunCheckOut(
        id=str(check.id),
        project_id=str(check.project_id),
        kind=check.kind,
        state=check.state,
        activity=check.activity,
        ahead=queries.checks_ahead(session, check=check),
        report=check.report,
        error=check.error,
        field=check.field,
        created_at=check.created_at,
        finished_at=check.finished_at,
    )


def _text(identity: UUID | None) -> str | None:
    return None if identity is None else str(identity)
