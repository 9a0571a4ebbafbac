"""The list of runs, the launch form, and the page on which a run is watched."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from app import artifacts
from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import JobState, SessionDep
from app.errors import AppError, NotFound, found
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.projects.models import Project
from app.run_config import defaults
from app.runs import formats, queries, rules, service
from app.runs.auth import AdminPageRun, PageRun
from app.runs.models import Checkpoint, Run, RunKind
from app.runs.schemas import ChainForm, LaunchForm
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

KINDS = [(kind, rules.NAMES[kind], rules.ABOUT[kind]) for kind in RunKind]


@router.get("/projects/{project_id}/runs", name="runs")
def runs(
    request: Request, session: SessionDep, project: ViewerProject, role: ProjectRole
) -> HTMLResponse:
    listed = queries.runs_of(session, project=project, limit=200)
    return render(
        request,
        "runs/runs.html",
        project=project,
        section="runs",
        runs=listed,
        checkpoints=queries.final_checkpoints(session, runs=listed),
        left={run.id: queries.time_left(session, run=run) for run in listed},
        waiting={run.id for run in listed if queries.waits(run)},
        places=queries.places(session, runs=listed),
        snapshots=queries.usable_snapshots(session, project=project),
        may_launch=role is Role.ADMIN,
        rules=rules,
    )


@router.get("/projects/{project_id}/runs/new", name="new_run")
def new_run(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    kind: RunKind = RunKind.REWARD,
    snapshot: str = "",
    checkpoint: str = "",
    reward: str = "",
    again: UUID | None = None,
    change: Literal["", "smaller", "slower"] = "",
) -> HTMLResponse:
    """The launch form; a link may choose kind, snapshot, base and reward model beforehand.

    With `again` it is filled in as that run was, less what `change` wants otherwise.
    """
    if again is not None:
        run = found(queries.run_in(session, project_id=project.id, run_id=again))
        changes = formats.changed_for(change, run.config)
        form = _again(session, run, changes)
        return _form(request, session, project, form, like=run, changes=changes)
    goes_on = kind is not RunKind.SFT and queries.writers_of(session, project=project)
    form = LaunchForm(
        kind=kind,
        snapshot_id=snapshot,
        base="checkpoint" if checkpoint or goes_on else "new",
        checkpoint=checkpoint,
        reward_checkpoint_id=reward,
    )
    return _form(request, session, project, form)


@router.post("/projects/{project_id}/runs", name="create_run_page", response_model=None)
def create_run_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[LaunchForm, Form()],
) -> Response:
    try:
        body = form.body(formats.given_settings(form.model_extra or {}))
        snapshot = queries.snapshot_in(session, project_id=project.id, snapshot_id=body.snapshot_id)
        run = service.launch(session, snapshot=found(snapshot), body=body, by=user)
    except (ValidationError, AppError) as error:
        return _form(request, session, project, form, problems=problems_of(error), status=422)
    return redirect(request, "run", project_id=project.id, run_id=run.id)


@router.post("/projects/{project_id}/runs/chain", name="launch_chain")
def launch_chain(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[ChainForm, Form()],
) -> RedirectResponse:
    """SFT → reward model → DPO → PPO with one button."""
    snapshot = queries.snapshot_in(session, project_id=project.id, snapshot_id=form.snapshot_id)
    service.launch_chain(session, snapshot=found(snapshot), by=user)
    return redirect(request, "runs", project_id=project.id)


@router.get("/projects/{project_id}/runs/{run_id}", name="run")
def run_page(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    run: PageRun,
) -> HTMLResponse:
    """State, curves, texts, settings and events; `run.js` keeps it fresh while the run lives."""
    events = queries.events_of(session, run=run)
    reward = session.get(Checkpoint, run.reward_checkpoint_id) if run.reward_checkpoint_id else None
    parent = session.get(Checkpoint, run.parent_checkpoint_id) if run.parent_checkpoint_id else None
    evaluation = queries.evaluation_of(run)
    return render(
        request,
        "runs/run.html",
        charts=True,
        project=project,
        section="runs",
        run=run,
        snapshot=queries.snapshot_in(session, project_id=project.id, snapshot_id=run.snapshot_id),
        parent=parent,
        reward=reward,
        checkpoint=queries.final_checkpoint(session, run=run),
        awaited=queries.awaited(session, run=run),
        place=queries.places(session, runs=[run]).get(run.id),
        marked=queries.erased_snapshots(session, run=run),
        left=queries.time_left(session, run=run),
        events=[event for event in events if event.kind != "log"],
        log=next((event.message for event in reversed(events) if event.kind == "log"), ""),
        preparing=_preparing(run),
        said=queries.log_tail(session, run=run) if run.finished_at is None else "",
        trouble=formats.trouble_of(run.error or "") if run.state is JobState.FAILED else None,
        warnings=[event.message for event in events if event.kind == "warning"],
        for_people=any(event.kind == "for people" for event in events),
        ended_early=next((event.message for event in events if event.kind == "succeeded"), ""),
        stories=formats.stories(queries.samples_of(session, run=run)),
        curves=[chart.as_json() for chart in formats.charts_of(run.kind, run.config)],
        more=[chart.as_json() for chart in formats.MORE],
        evaluation=evaluation,
        shares=formats.share_charts(evaluation) if evaluation else [],
        mistakes=list(formats.mistakes(evaluation)) if evaluation else [],
        changed=rules.changed_settings(run.config, defaults(run.kind)),
        may_manage=role is Role.ADMIN,
        rules=rules,
    )


@router.post("/projects/{project_id}/runs/{run_id}/cancel", name="cancel_run_page")
def cancel_run_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    run: AdminPageRun,
) -> RedirectResponse:
    service.cancel(session, run=run, by=user)
    return redirect(request, "run", project_id=project.id, run_id=run.id)


@router.post("/projects/{project_id}/runs/{run_id}/resume", name="resume_run_page")
def resume_run_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    run: AdminPageRun,
) -> RedirectResponse:
    service.resume(session, run=run, by=user)
    return redirect(request, "run", project_id=project.id, run_id=run.id)


@router.get("/projects/{project_id}/runs/{run_id}/log", name="run_log", response_model=None)
def run_log(run: PageRun) -> Response:
    """All that the training process said, as plain text."""
    if run.path is None:
        raise NotFound(service.no_files(run))
    return StreamingResponse(
        artifacts.chunks(f"{run.path}/log.txt"), media_type=PlainTextResponse.media_type
    )


@router.get("/projects/{project_id}/runs/{run_id}/mistakes", name="run_mistakes")
def run_mistakes(run: PageRun) -> StreamingResponse:
    """The most confident mistakes of a reward model, as lines that can be imported."""
    if queries.evaluation_of(run) is None:
        raise NotFound("This run has no evaluation: only a finished reward model has one.")
    return _lines(f"{run.path}/worst.jsonl", name="mistakes.jsonl")


@router.get("/projects/{project_id}/runs/{run_id}/for-people", name="run_for_people")
def run_for_people(session: SessionDep, run: PageRun) -> StreamingResponse:
    """Responses of the start and of the end, as a file to import: people say which are better."""
    kinds = {event.kind for event in queries.events_of(session, run=run)}
    if run.path is None or "for people" not in kinds:
        raise NotFound("This run sent no responses to people.")
    return _lines(f"{run.path}/for_people.jsonl", name="for_people.jsonl")


def _lines(path: str, *, name: str) -> StreamingResponse:
    """A kept file of JSON lines, for download."""
    return StreamingResponse(
        artifacts.chunks(path),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _form(
    request: Request,
    session: Session,
    project: Project,
    form: LaunchForm,
    *,
    problems: list[tuple[str, str]] | None = None,
    like: Run | None = None,
    changes: dict[str, Any] | None = None,
    status: int = 200,
) -> HTMLResponse:
    important, groups = formats.setting_groups(
        form.kind, formats.given_settings(form.model_extra or {})
    )
    writers = queries.writers_of(session, project=project)
    judges = queries.checkpoints_of(session, project=project, kinds=[RunKind.REWARD])
    return render(
        request,
        "runs/new_run.html",
        status=status,
        project=project,
        section="runs",
        form=form,
        like=like,
        changes=changes or {},
        kinds=KINDS,
        about=rules.ABOUT[form.kind],
        snapshots=[
            (snapshot, _readable(form.kind, queries.training_rows(snapshot)))
            for snapshot in queries.usable_snapshots(session, project=project)
        ],
        bases=[*writers, *judges] if form.kind is RunKind.REWARD else writers,
        judges=judges,
        important=important,
        groups=groups,
        problems=problems or [],
        wrong={field.removeprefix("config."): text for field, text in problems or []},
    )


def _again(session: Session, run: Run, changes: dict[str, Any]) -> LaunchForm:
    """The form as it would start the run once more, with what is to be changed."""
    usual = defaults(run.kind, from_scratch=queries.is_from_scratch(session, run=run))
    usual["save_steps"] = rules.save_every(run.total_steps or 1)
    typed = formats.typed_settings(run.kind, run.config | changes, usual)
    base = next((name for name in ("new", "model") if name in run.base), "checkpoint")
    return LaunchForm.model_validate(
        {
            "kind": run.kind,
            "snapshot_id": str(run.snapshot_id),
            "base": base,
            "size": run.base.get("new", "tiny"),
            "model": run.base.get("model", ""),
            "checkpoint": str(run.parent_checkpoint_id or ""),
            "reward_checkpoint_id": str(run.reward_checkpoint_id or ""),
            "priority": str(run.priority),
            "device": run.needs.get("device") or "",
            "gpu_memory_gb": str(run.needs.get("gpu_memory_gb") or ""),
            **{f"{formats.PREFIX}{name}": value for name, value in typed.items()},
        }
    )


def _readable(kind: str, rows: dict[str, int]) -> str:
    """What a run of the kind would read from a snapshot, in words."""
    for name in rules.READS[kind]:
        if rows.get(name):
            return f"{rows[name]:,} rows of {name}"
    return "no rows for this kind"


def problems_of(error: ValidationError | AppError) -> list[tuple[str, str]]:
    """(field, sentence) for each thing that is wrong."""
    if isinstance(error, AppError):
        named = [(str(item.get("field", "")), str(item["message"])) for item in error.errors]
        return named or [("", error.detail)]
    return [
        (
            ".".join(str(part) for part in item["loc"]),
            {
                "snapshot_id": "Choose a snapshot.",
                "reward_checkpoint_id": "Choose a checkpoint.",
            }.get(
                str(item["loc"][0]) if item["loc"] else "",
                item["msg"].removeprefix("Value error, "),
            ),
        )
        for item in error.errors()
    ]


def _preparing(run: Run) -> str:
    """What the attempt is busy with before its first step, or after its last."""
    if run.state is not JobState.RUNNING or (run.step > run.start_step and not run.activity):
        return ""
    return run.activity or "Loading the model and the data"
