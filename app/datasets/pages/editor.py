"""The recipe editor: what goes into a snapshot, with live counts; recipes as files."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, UploadFile
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, JSONResponse, Response

from app.accounts.auth import CurrentUser
from app.annotation.schemas import FLAGS
from app.datasets import queries, service
from app.datasets.formats.card import DESCRIPTIONS
from app.datasets.formats.editor import mistakes, shown
from app.datasets.formats.names import file_name
from app.datasets.formats.recipes import MOST_BYTES, recipe_json, recipe_toml
from app.datasets.formats.recipes import read_recipe as parsed_recipe
from app.datasets.queries import choices, recipes
from app.datasets.rules.origins import LICENCES
from app.datasets.rules.presets import PRESETS, preset
from app.datasets.schemas import Recipe, RecipeForm
from app.db import JsonObject, SessionDep
from app.errors import AppError, Invalid, NotFound, found
from app.projects.auth import AdminProject
from app.projects.models import Project
from app.projects.queries import excluded_members
from app.web import redirect, render

RecipeKind = Literal["toml", "json"]
ChoiceKind = Literal["sources", "tags", "languages", "exclude_annotators"]

router = APIRouter(include_in_schema=False)


@router.get("/projects/{project_id}/snapshots/new", name="new_snapshot")
def new_snapshot(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    form: Annotated[RecipeForm, Query()],
) -> HTMLResponse:
    """The recipe editor; the button for counts leads here as well, without JavaScript.

    It begins with a preset or with the recipe of a snapshot, where the address names one.
    """
    form = _begun(session, project, form)
    if not request.query_params.keys() - {"preset"}:  # nothing was asked for yet
        form = form.model_copy(update={"license": recipes.last_licence(session, project=project)})
    seen = _preview(session, project, form, seconds=service.GLANCE)
    return _editor(request, session, project, form, seen=seen)


@router.get("/projects/{project_id}/snapshots/preview", name="preview_recipe")
def preview_recipe(
    session: SessionDep, project: AdminProject, form: Annotated[RecipeForm, Query()]
) -> JSONResponse:
    """What the recipe in the editor would give, in words."""
    return JSONResponse(_preview(session, project, form, seconds=_seconds(form)))


@router.get("/projects/{project_id}/snapshots/counts", name="recipe_counts")
def recipe_counts(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    form: Annotated[RecipeForm, Query()],
) -> HTMLResponse:
    """The same as a part of the page, which takes it in while the recipe is edited."""
    seen = _preview(session, project, form, seconds=_seconds(form))
    return render(request, "datasets/_result.html", project=project, seen=seen)


@router.get("/projects/{project_id}/snapshots/choices/{kind}", name="recipe_choices")
def recipe_choices(
    session: SessionDep,
    project: AdminProject,
    kind: ChoiceKind,
    search: Annotated[str, Query(max_length=200)] = "",
) -> JSONResponse:
    """What can be chosen and contains what was typed: `[{value, label, hint}]`, a few of many."""
    words = " ".join(search.replace("\0", "").split())
    if kind == "exclude_annotators":
        people = choices.people_like(session, project=project, search=words)
        found = [
            {
                "value": str(each.id),
                "label": each.name,
                "hint": each.email or each.imported_name or "",
            }
            for each in people
        ]
    else:
        values = choices.values_like(session, project=project, kind=kind, search=words)
        found = [{"value": value, "label": value, "hint": ""} for value in values]
    return JSONResponse(found)


@router.post("/projects/{project_id}/snapshots/recipe", name="read_recipe")
def read_recipe(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    text: Annotated[str, Form()] = "",
    file: UploadFile | None = None,
) -> HTMLResponse:
    """The editor with a recipe that was pasted, or comes as a file."""
    try:
        given = _given(text, file)
        recipe = Recipe.model_validate(parsed_recipe(given))
    except (ValidationError, AppError) as error:
        form = RecipeForm()
        seen = _preview(session, project, form, seconds=service.GLANCE)
        problems = mistakes(error)["errors"]
        return _editor(
            request, session, project, form, seen=seen, status=422, pasted=text, problems=problems
        )
    form = _form_of(session, project, recipe)
    seen = _preview(session, project, form, seconds=service.GLANCE)
    return _editor(request, session, project, form, seen=seen)


@router.post(
    "/projects/{project_id}/snapshots/recipe/{kind}", name="save_recipe", response_model=None
)
def save_recipe(
    request: Request,
    session: SessionDep,
    project: AdminProject,
    kind: RecipeKind,
    form: Annotated[RecipeForm, Form()],
) -> Response:
    """The recipe in the editor as a file, for the command line, the API or another project."""
    try:
        recipe = form.recipe()
    except ValidationError as error:
        return _editor(request, session, project, form, seen=mistakes(error), status=422)
    text = recipe_toml(recipe) if kind == "toml" else recipe_json(recipe)
    name = file_name(project.name, f"recipe.{kind}")
    return Response(
        text,
        media_type="application/toml" if kind == "toml" else "application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/projects/{project_id}/snapshots", name="create_snapshot_page", response_model=None)
def create_snapshot_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[RecipeForm, Form()],
) -> Response:
    try:
        snapshot = service.request(
            session, project=project, recipe=form.recipe(), name=form.name, by=user
        )
    except (ValidationError, AppError) as error:
        return _editor(request, session, project, form, seen=mistakes(error), status=422)
    return redirect(request, "snapshot", project_id=project.id, snapshot_id=snapshot.id)


def _editor(
    request: Request,
    session: Session,
    project: Project,
    form: RecipeForm,
    *,
    seen: JsonObject,
    status: int = 200,
    pasted: str = "",
    problems: Sequence[JsonObject] = (),
) -> HTMLResponse:
    chosen = {UUID(each) for each in form.exclude_annotators if queries.is_uuid(each)}
    people = choices.people_with(session, project=project, ids=chosen)
    others = choices.people_like(session, project=project)
    people = [*people, *(each for each in others if each.id not in chosen)]
    return render(
        request,
        "datasets/new_snapshot.html",
        status=status,
        project=project,
        section="snapshots",
        form=form,
        seen=seen,
        wrong={error["field"]: error["message"] for error in seen["errors"]},
        people=people,
        more_people=len(others) == choices.SHOWN,
        strangers={each for each in form.exclude_annotators if each.strip()}
        - {str(person.id) for person in people},
        kept_out=excluded_members(session, project=project),
        versions=queries.guidelines_versions(session, project=project),
        offered=recipes.offered(session, project=project),
        most_words=choices.SHOWN,
        flags=FLAGS | {flag: flag for flag in form.exclude_flags if flag not in FLAGS},
        configs=DESCRIPTIONS,
        presets=PRESETS,
        licences=LICENCES,
        earlier=queries.snapshots_of(session, project=project, limit=20),
        pasted=pasted,
        problems=problems,
    )


def _begun(session: Session, project: Project, form: RecipeForm) -> RecipeForm:
    if chosen := preset(form.preset):
        begun = RecipeForm.of(Recipe.model_validate(chosen.recipe))
        return begun.model_copy(update={"preset": chosen.key})
    if form.like:
        snapshot, owner = found(queries.snapshot_for(session, snapshot_id=_as_uuid(form.like)))
        found(owner if owner.id == project.id else None)
        return _form_of(session, project, Recipe.model_validate(snapshot.recipe))
    return form


def _as_uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def _form_of(session: Session, project: Project, recipe: Recipe) -> RecipeForm:
    """People that the recipe names become their ids, as the boxes of the page know them."""
    form = RecipeForm.of(recipe)
    called = queries.people_called(session, project=project, names=form.exclude_annotators)
    people = [
        who
        for name in form.exclude_annotators
        for who in [str(user_id) for user_id in called[name]] or [name]
    ]
    return form.model_copy(update={"exclude_annotators": list(dict.fromkeys(people))})


def _given(text: str, file: UploadFile | None) -> str:
    if file is None or not file.filename:
        return text
    content = file.file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Invalid("This file is too large to be a recipe.")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Invalid("This file is no text in UTF-8. Choose a recipe in TOML or JSON.") from error


def _seconds(form: RecipeForm) -> float:
    return service.GLANCE if form.glance else service.PATIENCE


def _preview(session: Session, project: Project, form: RecipeForm, *, seconds: float) -> JsonObject:
    """What `formats.editor` shows of it."""
    try:
        recipe = form.recipe()
        seen = service.preview(session, project=project, recipe=recipe, seconds=seconds)
    except (ValidationError, AppError) as error:
        return mistakes(error)
    return shown(
        recipe,
        counts=seen.counts,
        quality=seen.quality,
        looked_at=seen.looked_at,
        prompts=seen.prompts,
        examples=seen.examples,
        open_tasks=seen.open_tasks,
    )
