"""The playground as pages: asking, a conversation, and the history of them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role, User
from app.db import SessionDep
from app.errors import AppError, found
from app.generation.queries import endpoints_of
from app.playground import queries, rules, service
from app.playground.auth import AdminPageConversation, AdminPageTurn, PageConversation
from app.playground.models import PlayConversation, PlayTurn, ReadingKind
from app.playground.queries import Shown
from app.playground.schemas import AskForm, ReplyBody
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.projects.models import Project
from app.runs.queries import writers_of
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

LISTED = 50  # conversations of one page
Problems = list[tuple[str, str]]


@router.get("/projects/{project_id}/playground", name="playground")
def playground(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    checkpoint: str = "",
    second: str = "",
    before: datetime | None = None,
) -> HTMLResponse:
    """Ask something new, or look at what was asked; a link may choose the models."""
    form = AskForm(first=checkpoint, second=second)
    writers, judges = writers_of(session, project=project), _judges(session, project)
    if not checkpoint:
        first, other = ([str(each.id) for each in writers] + ["", ""])[:2]
        form.first = first or second
        form.second = (second or other) if first else ""
    form.reward = [str(judge.id) for judge in judges[:1]]
    return _start(request, session, project, role, form, before=before)


@router.post("/projects/{project_id}/playground", name="ask_page", response_model=None)
def ask_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    role: ProjectRole,
    form: Annotated[AskForm, Form()],
) -> Response:
    conversation = None
    try:
        body = form.body()
        conversation = queries.conversation_of(session, project=project, body=body)
        with session.begin_nested():
            turn = service.ask(
                session, project=project, body=body, by=user, conversation=conversation
            )
    except ValidationError as error:
        problems = [
            (str(item["loc"][0]) if item["loc"] else "", item["msg"].removeprefix("Value error, "))
            for item in error.errors()
        ]
    except AppError as error:
        problems = [("", error.detail)]
    else:
        return _to(request, project, turn)
    if conversation is None:
        return _start(request, session, project, role, form, problems=problems)
    return _conversation(
        request, session, project, role, conversation, form=form, problems=problems
    )


@router.get("/projects/{project_id}/playground/{conversation_id}", name="play_conversation")
def conversation_page(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    conversation: PageConversation,
    turn: UUID | None = None,
    said: str = "",
) -> HTMLResponse:
    """A conversation along the line that leads to `turn`, or to what was asked last."""
    wanted = None
    if turn is not None:
        wanted = found(queries.turn_in(session, conversation_id=conversation.id, turn_id=turn))
    return _conversation(request, session, project, role, conversation, turn=wanted, said=said)


@router.post(
    "/projects/{project_id}/playground/{conversation_id}/turns/{turn_id}/stop",
    name="stop_turn_page",
)
def stop_turn_page(
    request: Request, session: SessionDep, project: AdminProject, turn: AdminPageTurn
) -> RedirectResponse:
    service.stop(session, turn=turn)
    return _to(request, project, turn)


@router.post(
    "/projects/{project_id}/playground/{conversation_id}/turns/{turn_id}/replies",
    name="type_reply_page",
    response_model=None,
)
def type_reply_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    role: ProjectRole,
    conversation: AdminPageConversation,
    turn: AdminPageTurn,
    text: Annotated[str, Form()] = "",
) -> Response:
    """Score a reply of one's own."""
    try:
        with session.begin_nested():
            service.type_reply(session, turn=turn, body=ReplyBody(text=text), by=user)
    except ValidationError:
        problem = "Type the reply that is to be scored."
    except AppError as error:
        problem = error.detail
    else:
        return _to(request, project, turn)
    return _conversation(
        request, session, project, role, conversation, turn=turn, problems=[("", problem)]
    )


@router.post(
    "/projects/{project_id}/playground/{conversation_id}/turns/{turn_id}/task",
    name="send_turn_page",
    response_model=None,
)
def send_turn_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    role: ProjectRole,
    conversation: AdminPageConversation,
    turn: AdminPageTurn,
) -> Response:
    """Send the answers to the annotators."""
    try:
        sent = service.send(session, project=project, conversation=conversation, turn=turn, by=user)
    except AppError as error:
        return _conversation(
            request, session, project, role, conversation, turn=turn,
            problems=[("", error.detail)],
        )  # fmt: skip
    return _to(request, project, turn, said="" if sent.is_new else "known")


@router.post(
    "/projects/{project_id}/playground/{conversation_id}/delete", name="forget_conversation"
)
def forget_conversation(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    conversation: AdminPageConversation,
) -> RedirectResponse:
    service.forget(session, conversation=conversation, by=user)
    return redirect(request, "playground", project_id=project.id)


def _to(request: Request, project: Project, turn: PlayTurn, *, said: str = "") -> RedirectResponse:
    """To the conversation as it leads through the turn."""
    path = request.app.url_path_for(
        "play_conversation", project_id=project.id, conversation_id=turn.conversation_id
    )
    more = f"&said={said}" if said else ""
    return RedirectResponse(f"{path}?turn={turn.id}{more}#turn-{turn.id}", status_code=303)


def _judges(session: Session, project: Project) -> Any:
    return queries.judges_of(session, project=project)


def _start(
    request: Request,
    session: Session,
    project: Project,
    role: Role,
    form: AskForm,
    *,
    before: datetime | None = None,
    problems: Problems | None = None,
) -> HTMLResponse:
    listed = queries.conversations_of(session, project=project, before=before, limit=LISTED + 1)
    return render(
        request,
        "playground/playground.html",
        status=422 if problems else 200,
        project=project,
        section="runs",
        form=form,
        writers=writers_of(session, project=project),
        endpoints=endpoints_of(session, project=project),
        judges=_judges(session, project),
        conversations=listed[:LISTED],
        has_more=len(listed) > LISTED,
        may_ask=role is Role.ADMIN,
        problems=problems or [],
    )


def _conversation(
    request: Request,
    session: Session,
    project: Project,
    role: Role,
    conversation: PlayConversation,
    *,
    turn: PlayTurn | None = None,
    form: AskForm | None = None,
    said: str = "",
    problems: Problems | None = None,
) -> HTMLResponse:
    line = queries.line_of(session, conversation=conversation, turn=turn)
    last = line[-1]
    next_form = again(last)
    if form is None:
        form = next_form.model_copy(update={"message": ""})
    by = session.get(User, conversation.created_by) if conversation.created_by else None
    return render(
        request,
        "playground/conversation.html",
        status=422 if problems else 200,
        project=project,
        section="runs",
        conversation=conversation,
        by=by,
        line=line,
        forms={shown.turn.id: again(shown) for shown in line},
        why_not={shown.turn.id: _why_not(shown) for shown in line},
        is_alive=any(shown.turn.finished_at is None for shown in line),
        form=form,
        writers=writers_of(session, project=project),
        endpoints=endpoints_of(session, project=project),
        judges=_judges(session, project),
        said=said,
        may_ask=role is Role.ADMIN,
        problems=problems or [],
    )


def _why_not(shown: Shown) -> str:
    return rules.may_be_sent(
        [(each.answer.state.value, each.answer.text) for each in shown.answers]
    )


def again(shown: Shown) -> AskForm:
    """The form that would ask the same once more, of the same models."""
    writers = [
        str(each.answer.checkpoint_id or f"endpoint:{each.answer.endpoint_id}")
        for each in shown.answers
        if each.answer.checkpoint_id or each.answer.endpoint_id
    ]
    judges = {
        str(reading.checkpoint_id)
        for each in shown.answers
        for reading in each.readings
        if reading.kind is ReadingKind.SCORE and reading.checkpoint_id is not None
    }
    settings = {name: f"{value:g}" for name, value in shown.turn.settings.items()}
    return AskForm(
        message=shown.turn.message,
        first=writers[0] if writers else "",
        second=writers[1] if len(writers) > 1 else "",
        reward=sorted(judges),
        **(settings | {"seed": str(shown.turn.settings["seed"])}),
    )
