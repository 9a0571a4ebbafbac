"""The endpoints of a project: added, removed, and as the client speaks to them."""

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.completions import Target, address_of
from app.errors import Conflict, Invalid
from app.generation import queries
from app.generation.models import Endpoint
from app.generation.schemas import EndpointBody
from app.projects.models import Project


def add_endpoint(session: Session, *, project: Project, body: EndpointBody, by: User) -> Endpoint:
    """`Invalid` where the settings do not allow its address."""
    address_of(body.base_url)
    endpoint = Endpoint(project_id=project.id, created_by=by.id, **body.model_dump())
    try:
        with session.begin_nested():
            session.add(endpoint)
    except IntegrityError:
        raise Conflict(f"There is an endpoint “{body.name}” already; take another name.") from None
    session.refresh(endpoint)
    audit(
        session,
        user=by,
        action="endpoint.add",
        target=f"endpoint {endpoint.id}",
        project_id=project.id,
        name=body.name,
        base_url=body.base_url,
        model=body.model,
    )
    return endpoint


def remove_endpoint(session: Session, *, endpoint: Endpoint, by: User) -> Endpoint:
    """Nothing new is asked of it; what it wrote stays, and still names it."""
    if endpoint.removed_at is not None:
        raise Conflict("This endpoint has been removed already.")
    endpoint.removed_at = func.now()
    session.flush()
    session.refresh(endpoint)
    audit(
        session,
        user=by,
        action="endpoint.remove",
        target=f"endpoint {endpoint.id}",
        project_id=endpoint.project_id,
        name=endpoint.name,
    )
    return endpoint


def usable_endpoint(
    session: Session, *, project: Project, called: str, field: str = "endpoint"
) -> Endpoint:
    """The endpoint of the project with this name or id; `Invalid` where it cannot be asked."""
    endpoint = queries.endpoint_in(session, project_id=project.id, called=called)
    if endpoint is None or endpoint.removed_at is not None:
        message = f"this project has no endpoint “{called}”. Its admins add one under “Endpoints”."
        raise Invalid(f"{field}: {message}", errors=[{"field": field, "message": message}])
    address_of(endpoint.base_url)  # the settings may have changed since it was added
    return endpoint


def target_of(endpoint: Endpoint) -> Target:
    return Target(endpoint.base_url, endpoint.model, endpoint.key_name)
