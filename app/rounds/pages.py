"""The page on which a project's rounds are driven and watched, and their settings."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.db import Now, SessionDep
from app.errors import AppError
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.projects.models import Project
from app.rounds import formats, queries, rules, service
from app.rounds.auth import AdminPageRound, PageRound
from app.rounds.models import Round, RoundState
from app.rounds.rules import Step
from app.rounds.schemas import PolicyForm
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

Deed = Literal["begin", "skip", "try-again", "pause", "go-on", "end"]


@router.get("/projects/{project_id}/rounds", name="rounds")
def rounds_page(
    request: Request, session: SessionDep, project: ViewerProject, role: ProjectRole
) -> HTMLResponse:
    """Where the present round is, and the figures of all."""
    rounds = queries.rounds_of(session, project=project, limit=100)
    newest = rounds[0] if rounds else None
    curves = formats.charts(rounds)
    return render(
        request,
        "rounds/rounds.html",
        charts=bool(curves),
        curves=curves,
        project=project,
        section="rounds",
        all_rounds=rounds,
        newest=newest,
        now=shown(session, newest) if newest else None,
        told=told(session, rounds),
        empty_loop=formats.loop(rules.marks(Step.GENERATE, state="cancelled")),
        has_prompts=bool(rounds) or queries.has_prompts(session, project=project),
        is_demo=queries.has_simulated(session, project=project),
        is_simulating=queries.is_simulating(session, project=project),
        may_act=role is Role.ADMIN,
        may_rank=role is not Role.VIEWER,
        formats=formats,
        rules=rules,
    )


@router.post("/projects/{project_id}/rounds", name="open_round_page")
def open_round_page(
    request: Request, session: SessionDep, user: CurrentUser, project: AdminProject, now: Now
) -> RedirectResponse:
    service.open_round(session, project=project, by=user, now=now)
    return redirect(request, "rounds", project_id=project.id)


@router.get("/projects/{project_id}/rounds/settings", name="round_settings")
def round_settings(request: Request, session: SessionDep, project: AdminProject) -> HTMLResponse:
    form = PolicyForm.of(queries.policy_of(session, project=project))
    return _settings(request, project, form)


@router.post(
    "/projects/{project_id}/rounds/settings", name="save_round_settings", response_model=None
)
def save_round_settings(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[PolicyForm, Form()],
) -> Response:
    try:
        policy = form.policy(queries.policy_of(session, project=project))
        service.set_policy(session, project=project, policy=policy, by=user)
    except (ValidationError, AppError) as error:
        return _settings(request, project, form, problems=_problems(error))
    return redirect(request, "rounds", project_id=project.id)


@router.post("/projects/{project_id}/rounds/simulated", name="let_simulated_judge")
def let_simulated_judge(
    request: Request, session: SessionDep, user: CurrentUser, project: AdminProject
) -> RedirectResponse:
    """The simulated annotators of a demo project judge what there is to judge."""
    service.let_simulated_judge(session, project=project, by=user)
    return redirect(request, "rounds", project_id=project.id)


@router.get("/projects/{project_id}/rounds/{round_id}", name="round")
def round_page(
    request: Request, session: SessionDep, project: ViewerProject, round_: PageRound
) -> HTMLResponse:
    """One round with all that happened in it."""
    return render(
        request,
        "rounds/round.html",
        project=project,
        section="rounds",
        now=shown(session, round_),
        told=told(session, [round_]),
        formats=formats,
        rules=rules,
    )


@router.post("/projects/{project_id}/rounds/{round_id}/{deed}", name="act_on_round_page")
def act_on_round_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    round_: AdminPageRound,
    deed: Deed,
    turn: Annotated[int | None, Form(ge=1, lt=2**31)] = None,
) -> RedirectResponse:
    service.DEEDS[deed](session, round_=round_, by=user, turn=turn)
    return redirect(request, "rounds", project_id=project.id)


def shown(session: Session, round_: Round) -> dict[str, Any]:
    """What a page tells of a round: its picture, its steps, and what each of them made."""
    events = queries.events_of(session, round_=round_)
    marks = rules.marks(
        round_.step,
        state=round_.state.value,
        skipped=sorted(queries.skipped_steps(session, round_=round_)),
        first=events[0][0].step if events else Step.GENERATE,
    )
    is_ranking = round_.step is Step.RANK and round_.finished_at is None
    judged = queries.still_wanted(session, round_=round_) if is_ranking else None
    return {
        "round": round_,
        "loop": formats.loop(marks),
        "in_words": formats.in_words(marks),
        "lines": formats.step_lines(marks, events),
        "events": events,
        "waits_for": queries.waits_for(session, round_=round_),
        "judged": judged[0] if judged else None,
        "is_enough": bool(judged and judged[1]),
        "runs": queries.runs_of(session, round_=round_),
        "by_hand": round_.step.value in round_.policy.get("by_hand", []),
        **queries.links_of(session, round_=round_),
    }


def told(session: Session, rounds: Sequence[Round]) -> dict[UUID, str]:
    """Whether each round's model is shown to be better than the one before."""
    return {
        round_.id: rules.told(
            round_.figures.get("win"),
            has_new=round_.writer_checkpoint_id is not None,
            has_former=round_.former_checkpoint_id is not None,
            is_skipped=Step.EVALUATE in queries.skipped_steps(session, round_=round_),
        )
        for round_ in rounds
        if round_.state is not RoundState.CANCELLED
    }


def _settings(
    request: Request,
    project: Project,
    form: PolicyForm,
    *,
    problems: list[tuple[str, str]] | None = None,
) -> HTMLResponse:
    return render(
        request,
        "rounds/settings.html",
        status=422 if problems else 200,
        project=project,
        section="rounds",
        form=form,
        steps=[(step, rules.NAMES[step], rules.ABOUT[step]) for step in Step],
        kinds=rules.KINDS,
        problems=problems or [],
        wrong=dict(problems or []),
    )


def _problems(error: ValidationError | AppError) -> list[tuple[str, str]]:
    if isinstance(error, AppError):
        named = [(str(item.get("field", "")), str(item["message"])) for item in error.errors]
        return named or [("", error.detail)]
    return [
        (
            "_".join(str(part) for part in item["loc"]),
            item["msg"].removeprefix("Value error, "),
        )
        for item in error.errors()
    ]
