"""New responses to the project's prompts, and the endpoints that may write some (contract §3)."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.db import JsonObject, SessionDep
from app.errors import NotFound, found
from app.generation import queries, service
from app.generation.auth import ManagedEndpoint, ManagedGeneration, ViewedGeneration
from app.generation.models import Endpoint, Generation, Writer
from app.generation.schemas import (
    CountOut,
    EndpointBody,
    EndpointOut,
    EndpointPage,
    GenerationBody,
    GenerationOut,
    GenerationPage,
    Selection,
    WriterOut,
)
from app.projects.auth import AdminProject, ViewerProject

router = APIRouter(tags=["generations"])


@router.post("/projects/{project_id}/generations", status_code=202)
def generate(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: GenerationBody
) -> GenerationOut:
    """Let one to four writers answer the project's prompts; their responses become tasks."""
    generation = service.open_generation(session, project=project, body=body, by=user)
    return generation_out(session, generation)


@router.get("/projects/{project_id}/generations")
def list_generations(
    session: SessionDep,
    project: ViewerProject,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> GenerationPage:
    """The newest first."""
    after = None
    if cursor is not None:
        after = found(queries.generation_in(session, project_id=project.id, generation_id=cursor))
    rows = queries.generations_of(session, project=project, after=after, limit=limit + 1)
    items = [generation_out(session, each) for each in rows[:limit]]
    return GenerationPage(items=items, next_cursor=items[-1].id if len(rows) > limit else None)


@router.post("/projects/{project_id}/generations/count")
def count_prompts(session: SessionDep, project: ViewerProject, body: Selection) -> CountOut:
    """How many prompts a selection could take; nothing is begun."""
    by_source = queries.counted(session, project=project, selection=body)
    return CountOut(prompts=sum(by_source.values()), by_source=by_source)


@router.get("/generations/{generation_id}")
def get_generation(session: SessionDep, generation: ViewedGeneration) -> GenerationOut:
    return generation_out(session, generation)


@router.get("/generations/{generation_id}/problems")
def generation_problems(session: SessionDep, generation: ViewedGeneration) -> JsonObject:
    """The first 1,000 prompts that a writer could not answer, with the reason."""
    items = queries.problems_of(session, generation=generation, limit=1000)
    return {"items": [each | {"prompt_id": str(each["prompt_id"])} for each in items]}


@router.get("/generations/{generation_id}/arms")
def generation_arms(session: SessionDep, generation: ViewedGeneration) -> JsonObject:
    """What people made of the chosen prompts and of those drawn by lot."""
    compared = queries.arm_facts(session, generation=generation)
    if compared is None:
        raise NotFound("This generation chose its prompts by lot alone, or has no tasks yet.")
    return compared.as_json()


@router.post("/generations/{generation_id}/cancel", status_code=202)
def cancel_generation(
    session: SessionDep, user: CurrentUser, generation: ManagedGeneration
) -> GenerationOut:
    """Stop writing; the responses and tasks that are there stay."""
    cancelled = service.cancel_generation(session, generation=generation, by=user)
    return generation_out(session, cancelled)


@router.post("/generations/{generation_id}/resume", status_code=202)
def resume_generation(
    session: SessionDep, user: CurrentUser, generation: ManagedGeneration
) -> GenerationOut:
    """Go on where a failed or cancelled one stopped."""
    resumed = service.resume_generation(session, generation=generation, by=user)
    return generation_out(session, resumed)


@router.post("/projects/{project_id}/endpoints", status_code=201)
def add_endpoint(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: EndpointBody
) -> EndpointOut:
    """Let an OpenAI-compatible server write for the project, if the settings allow its address."""
    return endpoint_out(service.add_endpoint(session, project=project, body=body, by=user))


@router.get("/projects/{project_id}/endpoints")
def list_endpoints(session: SessionDep, project: ViewerProject) -> EndpointPage:
    """Those that can be used, by name."""
    items = [endpoint_out(each) for each in queries.endpoints_of(session, project=project)]
    return EndpointPage(items=items, next_cursor=None)


@router.delete("/endpoints/{endpoint_id}")
def remove_endpoint(
    session: SessionDep, user: CurrentUser, endpoint: ManagedEndpoint
) -> EndpointOut:
    """Ask it nothing more. What it wrote stays."""
    return endpoint_out(service.remove_endpoint(session, endpoint=endpoint, by=user))


def generation_out(session: Session, generation: Generation) -> GenerationOut:
    writers = queries.writers_of(session, generations=[generation])[generation.id]
    return GenerationOut(
        id=str(generation.id),
        project_id=str(generation.project_id),
        checkpoint_id=_text(generation.checkpoint_id),
        writers=[writer_out(each) for each in writers],
        state=generation.state,
        attempt=generation.attempt,
        config=generation.config,
        done=generation.done,
        total=generation.total,
        tasks_opened=generation.tasks_opened,
        progress=queries.progress_of(session, generation=generation).as_json(),
        error=generation.error,
        created_at=generation.created_at,
        finished_at=generation.finished_at,
    )


def writer_out(writer: Writer) -> WriterOut:
    return WriterOut(
        checkpoint_id=_text(writer.checkpoint_id),
        endpoint_id=_text(writer.endpoint_id),
        name=writer.name,
        source=writer.source,
        n=writer.n,
        temperatures=writer.temperatures,
        top_p=writer.top_p,
        max_new_tokens=writer.max_new_tokens,
        seed=writer.seed,
        system=writer.system,
    )


def endpoint_out(endpoint: Endpoint) -> EndpointOut:
    return EndpointOut(
        id=str(endpoint.id),
        project_id=str(endpoint.project_id),
        name=endpoint.name,
        base_url=endpoint.base_url,
        model=endpoint.model,
        key_name=endpoint.key_name,
        has_key=service.target_of(endpoint).key is not None,
        at_once=endpoint.at_once,
        created_at=endpoint.created_at,
        removed_at=endpoint.removed_at,
    )


def _text(identity: UUID | None) -> str | None:
    return None if identity is None else str(identity)
