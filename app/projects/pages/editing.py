"""The editor of the guidelines: text, examples and why, with what is kept while somebody writes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import User
from app.db import JsonObject, Now, SessionDep
from app.errors import AppError, Conflict, found
from app.projects import formats, queries, rules, service
from app.projects.auth import AdminProject
from app.projects.models import GuidelinesDraft, Project
from app.projects.schemas import ProjectPatch
from app.projects.schemas.forms import GuidelinesForm
from app.web import fragment, redirect, render
from app.web.changes import changes
from app.web.outline import contents_of

router = APIRouter(include_in_schema=False)


async def posted_fields(request: Request) -> FormData:
    return await request.form()


Fields = Annotated[FormData, Depends(posted_fields)]


@dataclass(frozen=True, slots=True)
class Written:
    """What is in the editor; `examples` as the form has them, finished or not."""

    version: int
    text: str
    note: str
    is_clarification: bool
    examples: list[JsonObject]


def written_in(
    session: Session, *, project: Project, form: GuidelinesForm, fields: FormData
) -> Written:
    """What was posted; a form without examples leaves them as they are."""
    examples = formats.examples_of_form(fields.multi_items())
    if examples is None:
        base = queries.guidelines_of(session, project=project, version=form.version)
        examples = [formats.as_written(each) for each in base.examples] if base else []
    return Written(form.version, form.text, form.note, form.is_clarification, examples)


def patch_of(written: Written) -> ProjectPatch:
    """Raises `Invalid` with a sentence about the example that is not finished."""
    return ProjectPatch(
        guidelines=written.text,
        guidelines_examples=formats.examples_from_written(written.examples),
        guidelines_note=written.note,
        guidelines_kind="clarification" if written.is_clarification else "must_read",
        guidelines_version=written.version,
    )


@router.get("/projects/{project_id}/guidelines/edit", name="edit_guidelines")
def edit_guidelines(
    request: Request, session: SessionDep, user: CurrentUser, project: AdminProject
) -> HTMLResponse:
    draft = queries.guidelines_draft(session, project=project, user=user)
    if draft is None:
        current = found(queries.guidelines_of(session, project=project))
        examples = [formats.as_written(each) for each in current.examples]
        written = Written(current.version, current.text, "", False, examples)
        return editor(request, session, project=project, written=written)
    written = Written(
        draft.base_version, draft.text, draft.note, draft.is_clarification, draft.examples
    )
    return editor(request, session, project=project, written=written, draft=draft)


def editor(
    request: Request,
    session: Session,
    *,
    project: Project,
    written: Written,
    draft: GuidelinesDraft | None = None,
    problem: AppError | None = None,
    more: bool = False,
) -> HTMLResponse:
    """The editor; where somebody has published meanwhile, with both sides and how to go on."""
    clash = None
    if written.version < project.guidelines_version:
        clash, written = _clash(session, project=project, mine=written)
    if problem is None or isinstance(problem, Conflict):
        status = 409 if clash and draft is None else 200
    else:
        status = problem.status
    return render(
        request,
        "projects/guidelines_edit.html",
        status=status,
        project=project,
        section="guidelines",
        written=written,
        draft=draft,
        clash=clash,
        problem=problem.detail if problem and not clash else None,
        more=more,
        **_preview(written),
    )


def _preview(written: Written) -> dict[str, Any]:
    """The text as annotators will see it, and the examples that are finished."""
    examples = []
    for each in written.examples:
        try:
            examples += formats.examples_from_written([each])
        except AppError:
            continue
    return {
        "text": written.text,
        "contents": contents_of(written.text),
        "examples": [each.model_dump() for each in examples],
    }


def _clash(session: Session, *, project: Project, mine: Written) -> tuple[dict[str, Any], Written]:
    """Three versions of one text: what she began from, what is in force, and hers.

    What comes back for the editor has both changes, where they are in different lines, else hers.
    """
    theirs = found(queries.guidelines_of(session, project=project))
    base = queries.guidelines_of(session, project=project, version=mine.version) or theirs
    base_examples = [formats.as_written(each) for each in base.examples]
    their_examples = [formats.as_written(each) for each in theirs.examples]
    text = rules.merged(base.text, theirs.text, mine.text)
    newer = [
        each
        for each in queries.guidelines_versions(session, project=project)
        if each.version > mine.version
    ]
    names = queries.authors_of(session, versions=newer)
    clash = {
        "base": base,
        "theirs": theirs,
        "author": " and ".join(sorted(set(names.values()))) or "somebody who has left",
        "notes": [each.note for each in newer if each.note],
        "mine": mine,
        "their_rows": changes(base.text, theirs.text),
        "my_rows": changes(base.text, mine.text),
        "is_merged": text is not None,
        "their_examples": rules.example_changes(base_examples, their_examples),
        "my_examples": rules.example_changes(base_examples, mine.examples),
    }
    both = rules.merged_lists(base_examples, their_examples, mine.examples)
    together = replace(
        mine,
        version=theirs.version,
        text=mine.text if text is None else text,
        examples=both,
    )
    return clash, together


@router.post("/projects/{project_id}/guidelines/draft", name="save_guidelines_draft")
def save_guidelines_draft(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[GuidelinesForm, Form()],
    fields: Fields,
) -> JSONResponse:
    """Keep what is in the editor, and show how it will look."""
    written = written_in(session, project=project, form=form, fields=fields)
    _keep(session, project=project, user=user, written=written, now=now)
    html = fragment(request, "projects/_guidelines_text.html", **_preview(written))
    newest = project.guidelines_version
    return JSONResponse({"html": html, "saved_at": now.isoformat(), "newest_version": newest})


def _keep(session: Session, *, project: Project, user: User, written: Written, now: Now) -> None:
    service.save_draft(
        session,
        project=project,
        by=user,
        base_version=written.version,
        text=written.text,
        note=written.note,
        is_clarification=written.is_clarification,
        examples=written.examples,
        now=now,
    )


@router.post("/projects/{project_id}/guidelines/draft/discard", name="discard_guidelines_draft")
def discard_guidelines_draft(
    request: Request, session: SessionDep, user: CurrentUser, project: AdminProject
) -> RedirectResponse:
    service.drop_draft(session, project=project, by=user)
    return redirect(request, "edit_guidelines", project_id=project.id)


@router.post("/projects/{project_id}/guidelines/examples", name="more_examples")
def more_examples(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[GuidelinesForm, Form()],
    fields: Fields,
) -> HTMLResponse:
    """The editor again, with one more empty example and without those that are left out."""
    written = written_in(session, project=project, form=form, fields=fields)
    _keep(session, project=project, user=user, written=written, now=now)
    return editor(request, session, project=project, written=written, more=True)


@router.post("/projects/{project_id}/guidelines/edit", response_model=None)
def save_guidelines(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    now: Now,
    form: Annotated[GuidelinesForm, Form()],
    fields: Fields,
) -> Response:
    """Publish, unless somebody else has meanwhile: then nothing is lost and both are shown."""
    written = written_in(session, project=project, form=form, fields=fields)
    if form.edit:
        return editor(request, session, project=project, written=written)
    try:
        patch = patch_of(written)
        service.update_settings(session, project=project, patch=patch, by=user, now=now)
    except AppError as error:  # her text stays on the page
        return editor(request, session, project=project, written=written, problem=error)
    service.drop_draft(session, project=project, by=user)
    return redirect(request, "guidelines", project_id=project.id)


def difference_before_saving(
    session: Session, *, project: Project, written: Written
) -> dict[str, Any]:
    """What the text in the editor changes of the version in force."""
    current = found(queries.guidelines_of(session, project=project))
    examples: Sequence[JsonObject] = [
        each.model_dump() for each in formats.examples_from_written(written.examples)
    ]
    return {
        "rows": changes(current.text, written.text),
        "examples": rules.example_changes(current.examples, examples),
        "scale": [],
    }
