"""New responses to the project's prompts, as JSON (contract §3)."""

from fastapi import APIRouter

from app.accounts.auth import CurrentUser
from app.db import SessionDep
from app.generation import service
from app.generation.auth import ManagedGeneration, ViewedGeneration
from app.generation.models import Generation
from app.generation.schemas import GenerationBody, GenerationOut
from app.projects.auth import AdminProject

router = APIRouter(tags=["generations"])


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
