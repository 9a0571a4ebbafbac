"""Which models contain this? One page for people, guidelines, prompts, snapshots, checkpoints."""

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.datasets.auth import PageSnapshot
from app.datasets.rules.identity import pseudonym
from app.db import SessionDep
from app.projects.auth import AdminProject, ViewerProject
from app.projects.models import Project
from app.runs.auth import PageCheckpoint, PagePrompt, ProjectPerson
from app.runs.queries.descendants import Descendants, descendants
from app.runs.service import origins
from app.runs.service.forward import forward
from app.web import render

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/snapshots/{snapshot_id}/models", name="snapshot_models")
def snapshot_models(
    request: Request, session: SessionDep, project: ViewerProject, snapshot: PageSnapshot
) -> HTMLResponse:
    found = descendants(session, snapshot_ids=[snapshot.id])
    return _page(request, project, found, {}, of=f"the snapshot “{snapshot.name}”", api="snapshot")


@router.get("/projects/{project_id}/checkpoints/{checkpoint_id}/models", name="checkpoint_models")
def checkpoint_models(
    request: Request, session: SessionDep, project: ViewerProject, checkpoint: PageCheckpoint
) -> HTMLResponse:
    found = descendants(session, checkpoint_ids=[checkpoint.id])
    return _page(request, project, found, {}, of=f"“{checkpoint.name}”", api="checkpoint")


@router.get("/projects/{project_id}/annotators/{user_id}/models", name="person_models")
def person_models(
    request: Request, session: SessionDep, project: AdminProject, person: ProjectPerson
) -> HTMLResponse:
    """For admins alone: who a pseudonym is stays with them."""
    found, held = origins.of_person(session, project=project, user_id=person.id)
    name = pseudonym(project.id, person.id)
    return _page(
        request, project, found, held, of=f"{person.name}’s work", api="annotator", also=name
    )


@router.get("/projects/{project_id}/guidelines/{version}/models", name="guidelines_models")
def guidelines_models(
    request: Request, session: SessionDep, project: ViewerProject, version: int
) -> HTMLResponse:
    found, held = origins.of_version(session, project=project, version=version)
    return _page(
        request, project, found, held, of=f"version {version} of the guidelines", api="guidelines"
    )


@router.get("/projects/{project_id}/prompts/{prompt_id}/models", name="prompt_models")
def prompt_models(
    request: Request, session: SessionDep, project: ViewerProject, prompt: PagePrompt
) -> HTMLResponse:
    found, held = origins.of_prompt(session, prompt=prompt)
    return _page(request, project, found, held, of="this prompt", api="prompt")


def _page(
    request: Request,
    project: Project,
    found: Descendants,
    held: dict[UUID, int],
    *,
    of: str,
    api: str,
    also: str = "",
) -> HTMLResponse:
    seeds = found.seeds
    return render(
        request,
        "runs/models.html",
        project=project,
        section="runs",
        of=of,
        api=api,
        also=also,
        found=found,
        held=held,
        ways=found.ways(),
        models=[each for each in found.checkpoints if each.id not in seeds],
        runs={run.id: run for run in found.runs},
        unfinished=[run for run in found.runs if run.finished_at is None],
        picture=forward(found, held, origin=_title(of), detail=also or "asked about"),
    )


def _title(of: str) -> str:
    return of[:1].upper() + of[1:]
