"""Comparing two models: the list, the form, and the page on which the judging is watched."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.accounts.auth import CurrentUser
from app.accounts.models import Role, User
from app.db import SessionDep
from app.errors import AppError, found
from app.evaluation import formats, queries, service
from app.evaluation.auth import AdminPageEvaluation, PageEvaluation
from app.evaluation.models import Evaluation
from app.evaluation.rules import promoting
from app.evaluation.rules.scores import disputed, in_words, score_figures
from app.evaluation.rules.standing import Standing
from app.evaluation.schemas import EvaluationForm, PromotionForm, RuleForm, UndoForm
from app.generation.queries import endpoints_of
from app.projects.auth import AdminProject, ProjectRole, ViewerProject
from app.projects.models import Project
from app.runs import queries as runs
from app.runs.models import Checkpoint, Run, RunKind
from app.web import redirect, render

router = APIRouter(include_in_schema=False)

FEW_EXAMPLES = 5


@router.get("/projects/{project_id}/evaluations", name="evaluations")
def evaluations(
    request: Request, session: SessionDep, project: ViewerProject, role: ProjectRole
) -> HTMLResponse:
    """Newest first, each with what people say."""
    rows = []
    for evaluation in queries.evaluations_of(session, project=project, limit=100):
        names = queries.names_of(session, evaluation=evaluation)
        standing = queries.standing_of(session, evaluation=evaluation)
        rows.append((evaluation, names, standing))
    return render(
        request,
        "evaluation/evaluations.html",
        project=project,
        section="runs",
        rows=rows,
        promoted=queries.promoted(session, project=project),
        writers=runs.writers_of(session, project=project),
        endpoints=endpoints_of(session, project=project),
        may_manage=role is Role.ADMIN,
    )


@router.get("/projects/{project_id}/evaluations/new", name="new_evaluation")
def new_evaluation(
    request: Request, session: SessionDep, project: AdminProject, a: str = "", b: str = ""
) -> HTMLResponse:
    """With the newest model as A, and the promoted one as B."""
    writers = runs.writers_of(session, project=project)
    promoted = queries.promoted(session, project=project)
    others = [
        *(str(one.id) for one in writers),
        *(f"endpoint:{one.id}" for one in endpoints_of(session, project=project)),
    ]
    first = a or next((each for each in others if not promoted or each != str(promoted.id)), "")
    second = b or (str(promoted.id) if promoted and str(promoted.id) != first else "")
    second = second or next((each for each in others if each != first), "data")
    return _form(request, session, project, EvaluationForm(a=first, b=second, stop=True))


@router.post(
    "/projects/{project_id}/evaluations", name="create_evaluation_page", response_model=None
)
def create_evaluation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[EvaluationForm, Form()],
) -> Response:
    try:
        evaluation = service.open_evaluation(session, project=project, body=form.body(), by=user)
    except ValidationError as error:
        problems = [
            (".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, "))
            for item in error.errors()
        ]
        return _form(request, session, project, form, problems=problems)
    except AppError as error:
        return _form(request, session, project, form, problems=[("", error.detail)])
    return _back(request, project, evaluation)


def _form(
    request: Request,
    session: Session,
    project: Project,
    form: EvaluationForm,
    *,
    problems: list[tuple[str, str]] | None = None,
) -> HTMLResponse:
    snapshots = runs.usable_snapshots(session, project=project)
    judges = runs.checkpoints_of(session, project=project, kinds=[RunKind.REWARD])
    return render(
        request,
        "evaluation/new_evaluation.html",
        status=422 if problems else 200,
        project=project,
        section="runs",
        form=form,
        writers=runs.writers_of(session, project=project),
        endpoints=endpoints_of(session, project=project),
        choices={
            "judges": [(one.id, one.name) for one in judges],
            "snapshots": [(one.id, one.name) for one in snapshots if one.recipe.get("test_share")],
            "tags": [(one, one) for one in queries.tags_of(session, project=project)],
            "sources": [(one, one) for one in queries.sources_of(session, project=project)],
        },
        promoted=queries.promoted(session, project=project),
        problems=problems or [],
        wrong=dict(problems or []),
    )


@router.get("/projects/{project_id}/evaluations/{evaluation_id}", name="evaluation")
def evaluation_page(
    request: Request,
    session: SessionDep,
    project: ViewerProject,
    role: ProjectRole,
    evaluation: PageEvaluation,
) -> HTMLResponse:
    names = queries.names_of(session, evaluation=evaluation)
    standing = queries.standing_of(session, evaluation=evaluation)
    scored = queries.scored_prompts(session, evaluation=evaluation)
    curves = queries.best_of_of(session, evaluation=evaluation)
    against, figures = disputed(scored), score_figures(scored)
    shown = [one.prompt_id for one in against]
    first = queries.first_pairs(session, evaluation=evaluation, most=FEW_EXAMPLES)
    return render(
        request,
        "evaluation/evaluation.html",
        project=project,
        section="runs",
        evaluation=evaluation,
        names=names,
        standing=standing,
        said=formats.sentences(standing, names),
        charts=True,
        data=formats.charts(standing, names, curves=curves, scored=scored),
        figures=figures,
        scores_said=in_words(figures, a=names.a, b=names.b, reward="The reward model"),
        against=against,
        first=first,
        examples=queries.examples(session, evaluation=evaluation, prompt_ids=[*shown, *first]),
        left_out=queries.left_out(session, evaluation=evaluation),
        promotion=_promotion(session, project, evaluation, standing),
        who=_contestants(session, evaluation),
        takes_turns=not queries.is_by_endpoints(evaluation),
        may_manage=role is Role.ADMIN,
        may_judge=role is not Role.VIEWER,
    )


def _contestants(session: Session, evaluation: Evaluation) -> dict[str, object]:
    """Who meets whom, and how good the reward model is by its own run."""
    a, b = queries.contestants_of(session, evaluation=evaluation)
    judge = evaluation.reward_checkpoint_id
    reward = session.get_one(Checkpoint, judge) if judge else None
    run = session.get(Run, reward.run_id) if reward is not None and reward.run_id else None
    return {
        "a": a,
        "b": b,
        "reward": reward,
        "reward_evaluation": runs.evaluation_of(run) if run else None,
    }


def _promotion(
    session: Session, project: Project, evaluation: Evaluation, standing: Standing
) -> dict[str, object]:
    """Whether A is, or by the rule should be, the promoted one."""
    verdict = queries.verdict_from(standing)
    rule = queries.rule_of(session, project=project)
    present = queries.promoted(session, project=project)
    terms = {"threshold": rule.threshold, "margin": rule.margin}
    known = verdict.low is not None and verdict.high is not None
    return {
        "present": present,
        "can_be": evaluation.a_checkpoint_id is not None,
        "is_a": present is not None and present.id == evaluation.a_checkpoint_id,
        "met": present is None or present.id == evaluation.b_checkpoint_id,
        "earned": service.earns(session, evaluation=evaluation, found=verdict),
        "rule": promoting.in_words(str(rule.demand), **terms),
        "automatic": rule.automatic,
        "why": promoting.because(
            verdict.low or 0.0, verdict.high or 1.0, demand=str(rule.demand), **terms
        )
        if known
        else "",
    }


def _back(request: Request, project: Project, evaluation: Evaluation) -> RedirectResponse:
    return redirect(request, "evaluation", project_id=project.id, evaluation_id=evaluation.id)


@router.post(
    "/projects/{project_id}/evaluations/{evaluation_id}/cancel", name="cancel_evaluation_page"
)
def cancel_evaluation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    evaluation: AdminPageEvaluation,
) -> RedirectResponse:
    service.cancel_evaluation(session, evaluation=evaluation, by=user)
    return _back(request, project, evaluation)


@router.post(
    "/projects/{project_id}/evaluations/{evaluation_id}/resume", name="resume_evaluation_page"
)
def resume_evaluation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    evaluation: AdminPageEvaluation,
) -> RedirectResponse:
    service.resume_evaluation(session, evaluation=evaluation, by=user)
    return _back(request, project, evaluation)


@router.post(
    "/projects/{project_id}/evaluations/{evaluation_id}/close", name="close_evaluation_page"
)
def close_evaluation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    evaluation: AdminPageEvaluation,
) -> RedirectResponse:
    service.close_evaluation(session, evaluation=evaluation, by=user)
    return _back(request, project, evaluation)


@router.post(
    "/projects/{project_id}/evaluations/{evaluation_id}/reopen", name="reopen_evaluation_page"
)
def reopen_evaluation_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    evaluation: AdminPageEvaluation,
) -> RedirectResponse:
    service.reopen_evaluation(session, evaluation=evaluation, by=user)
    return _back(request, project, evaluation)


# -- promotion --------------------------------------------------------------------------------


@router.get("/projects/{project_id}/promotions", name="promotions")
def promotions(
    request: Request, session: SessionDep, project: ViewerProject, role: ProjectRole
) -> HTMLResponse:
    """The promoted model, the rule, and how it came to that."""
    rows = queries.promotions_of(session, project=project)
    people = {one.by for one in rows if one.by}
    rule = queries.rule_of(session, project=project)
    return render(
        request,
        "evaluation/promotions.html",
        project=project,
        section="runs",
        rows=rows,
        promoted=queries.promoted(session, project=project),
        names={one.id: one.name for one in runs.checkpoints_of(session, project=project)},
        people={each: session.get_one(User, each).name for each in people},
        rule=rule,
        rule_said=promoting.in_words(
            str(rule.demand), threshold=rule.threshold, margin=rule.margin
        ),
        writers=runs.writers_of(session, project=project),
        may_manage=role is Role.ADMIN,
    )


@router.post("/projects/{project_id}/promotions", name="promote_page")
def promote_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[PromotionForm, Form()],
) -> RedirectResponse:
    service.promote_by_id(
        session,
        project=project,
        checkpoint_id=form.checkpoint_id,
        evaluation_id=form.evaluation_id or None,
        by=user,
        because=form.reason,
    )
    return redirect(request, "promotions", project_id=project.id)


@router.post("/projects/{project_id}/promotions/undo", name="undo_promotion_page")
def undo_promotion_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[UndoForm, Form()],
) -> RedirectResponse:
    promotion = found(
        queries.promotion_in(session, project_id=project.id, promotion_id=form.promotion_id)
    )
    service.undo_promotion(session, project=project, promotion=promotion, by=user)
    return redirect(request, "promotions", project_id=project.id)


@router.post("/projects/{project_id}/promotions/rule", name="promotion_rule_page")
def promotion_rule_page(
    request: Request,
    session: SessionDep,
    user: CurrentUser,
    project: AdminProject,
    form: Annotated[RuleForm, Form()],
) -> RedirectResponse:
    service.set_rule(session, project=project, body=form.body(), by=user)
    return redirect(request, "promotions", project_id=project.id)
