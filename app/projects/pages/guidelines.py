"""What annotators are told: read, acknowledged, and compared with what they were told before."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.projects import queries, rules, service
from app.projects.auth import MemberProject, ProjectRole
from app.projects.models import Guidelines
from app.projects.schemas.forms import ReadForm
from app.web import redirect, render
from app.web.changes import changes
from app.web.outline import contents_of

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/guidelines", name="guidelines")
def guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: MemberProject,
    role: ProjectRole,
    version: int | None = None,
) -> HTMLResponse:
    shown = found(queries.guidelines_of(session, project=project, version=version))
    membership = queries.member(session, project=project, user_id=user.id)
    versions = queries.guidelines_versions(session, project=project)
    read = membership.guidelines_read if membership else 0
    is_current = shown.version == project.guidelines_version
    is_reader = role is not Role.VIEWER and read < project.guidelines_version
    must_read = is_reader and read < versions[0].needed
    is_news = is_reader and read > 0 and is_current
    base = read if is_news else shown.version - 1  # what is new to her, else to the version before
    before = next((each for each in versions if each.version == base), None)
    return render(
        request,
        "projects/guidelines.html",
        project=project,
        section="guidelines",
        shown=shown,
        versions=versions,
        contents=contents_of(shown.text),
        difference=difference_of(before, shown) if before else None,
        changes_from=base,
        notes=[each for each in versions if base < each.version <= shown.version and each.note],
        must_read=must_read,
        is_clarified=is_reader and not must_read and read > 0,
    )


def difference_of(before: Guidelines, after: Guidelines) -> dict[str, Any]:
    """What the pages show of a change: lines of the text, examples, and what is asked."""
    return {
        "rows": changes(before.text, after.text),
        "examples": rules.example_changes(before.examples, after.examples),
        "scale": rules.scale_changes(before.scale, after.scale),
    }


View = Annotated[Literal["side", "inline"], Query(description="Beside each other, or in one.")]


@router.get("/projects/{project_id}/guidelines/differences", name="guidelines_differences")
def guidelines_differences(
    request: Request,
    session: SessionDep,
    project: MemberProject,
    from_: Annotated[int | None, Query(alias="from")] = None,
    to: int | None = None,
    view: View = "side",
) -> HTMLResponse:
    """Any two versions, the older one first; by default the newest and the one before."""
    versions = queries.guidelines_versions(session, project=project)
    numbers = {each.version: each for each in versions}
    to = project.guidelines_version if to is None else to
    from_ = max(1, to - 1) if from_ is None else from_
    first, second = (found(numbers.get(each)) for each in sorted((from_, to)))
    return render(
        request,
        "projects/guidelines_differences.html",
        project=project,
        section="guidelines",
        versions=versions,
        first=first,
        second=second,
        view=view,
        difference=difference_of(first, second),
        between=_between(versions, first, second),
        authors=queries.authors_of(session, versions=versions),
    )


def _between(
    versions: Sequence[Guidelines], first: Guidelines, second: Guidelines
) -> list[Guidelines]:
    """The versions that the difference is made of, oldest first."""
    return [each for each in reversed(versions) if first.version < each.version <= second.version]


@router.post("/projects/{project_id}/guidelines/read", name="acknowledge_guidelines")
def acknowledge_guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: MemberProject,
    form: Annotated[ReadForm, Form()],
) -> RedirectResponse:
    """She has read the version that was on her screen; a newer one than that she sees next."""
    version = form.version or project.guidelines_version
    service.acknowledge_guidelines(session, project=project, user=user, version=version)
    return redirect(request, "rank", project_id=project.id)
