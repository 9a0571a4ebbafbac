"""Evaluations and promotions, as JSON."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.db import JsonObject, SessionDep
from app.errors import found
from app.evaluation import formats, queries, service
from app.evaluation.auth import ManagedEvaluation, ViewedEvaluation
from app.evaluation.models import Evaluation, Promotion, PromotionRule
from app.evaluation.rules import promoting
from app.evaluation.rules.scores import as_json, score_figures
from app.evaluation.schemas import (
    EvaluationBody,
    EvaluationDetail,
    EvaluationOut,
    EvaluationPage,
    PromotionBody,
    PromotionOut,
    PromotionsOut,
    RuleBody,
    RuleOut,
    VerdictOut,
)
from app.projects.auth import AdminProject, ViewerProject

router = APIRouter(tags=["evaluations"])

Limit = Annotated[int, Query(ge=1, le=200)]
Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.post("/projects/{project_id}/evaluations", status_code=202)
def open_evaluation(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: EvaluationBody
) -> EvaluationOut:
    """Let two contestants answer the same prompts, and ask people which answer is better."""
    return evaluation_out(service.open_evaluation(session, project=project, body=body, by=user))


@router.get("/projects/{project_id}/evaluations")
def list_evaluations(
    session: SessionDep, project: ViewerProject, cursor: UUID | None = None, limit: Limit = 50
) -> EvaluationPage:
    """The evaluations of a project, newest first."""
    after = None
    if cursor is not None:
        after = found(queries.evaluation_in(session, project_id=project.id, evaluation_id=cursor))
    rows = queries.evaluations_of(session, project=project, after=after, limit=limit + 1)
    items = [evaluation_out(row) for row in rows[:limit]]
    return EvaluationPage(items=items, next_cursor=items[-1].id if len(rows) > limit else None)


@router.get("/evaluations/{evaluation_id}")
def get_evaluation(session: SessionDep, evaluation: ViewedEvaluation) -> EvaluationDetail:
    """With what people say so far, and what a reward model says of the same answers."""
    names = queries.names_of(session, evaluation=evaluation)
    standing = queries.standing_of(session, evaluation=evaluation)
    verdict = VerdictOut.model_validate(formats.verdict_as_json(standing, names))
    return EvaluationDetail(
        **evaluation_out(evaluation).model_dump(),
        verdict=verdict,
        models=_models(session, evaluation),
    )


def _models(session: Session, evaluation: Evaluation) -> JsonObject | None:
    scored = queries.scored_prompts(session, evaluation=evaluation)
    curves = queries.best_of_of(session, evaluation=evaluation)
    if not scored and not curves:
        return None
    best: dict[str, Any] = {
        side: [{"n": p.n, "kl": p.kl, "score": p.score.as_json()} for p in points]
        for side, points in curves.items()
    }
    return {"scores": as_json(score_figures(scored)), "best_of": best}


@router.post("/evaluations/{evaluation_id}/cancel", status_code=202)
def cancel_evaluation(
    session: SessionDep, user: CurrentUser, evaluation: ManagedEvaluation
) -> EvaluationOut:
    """Stop the writing; what is written and asked stays."""
    return evaluation_out(service.cancel_evaluation(session, evaluation=evaluation, by=user))


@router.post("/evaluations/{evaluation_id}/resume", status_code=202)
def resume_evaluation(
    session: SessionDep, user: CurrentUser, evaluation: ManagedEvaluation
) -> EvaluationOut:
    """Go on with the writing of a failed or cancelled one."""
    return evaluation_out(service.resume_evaluation(session, evaluation=evaluation, by=user))


@router.post("/evaluations/{evaluation_id}/close")
def close_evaluation(
    session: SessionDep, user: CurrentUser, evaluation: ManagedEvaluation
) -> EvaluationOut:
    """Ask people no more; what somebody holds stays hers."""
    return evaluation_out(service.close_evaluation(session, evaluation=evaluation, by=user))


@router.post("/evaluations/{evaluation_id}/reopen")
def reopen_evaluation(
    session: SessionDep, user: CurrentUser, evaluation: ManagedEvaluation
) -> EvaluationOut:
    """Ask people again, until all that was asked for is judged."""
    return evaluation_out(service.reopen_evaluation(session, evaluation=evaluation, by=user))


@router.get("/projects/{project_id}/promotions")
def list_promotions(session: SessionDep, project: ViewerProject) -> PromotionsOut:
    """Which checkpoint is promoted, by which rule, and what was before."""
    promoted = queries.promoted(session, project=project)
    return PromotionsOut(
        promoted=str(promoted.id) if promoted else None,
        rule=rule_out(queries.rule_of(session, project=project)),
        items=[promotion_out(one) for one in queries.promotions_of(session, project=project)],
        next_cursor=None,
    )


@router.post("/projects/{project_id}/promotions", status_code=201)
def promote(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: PromotionBody
) -> PromotionOut:
    """Make a checkpoint the one that writes for the project."""
    promotion = service.promote_by_id(
        session,
        project=project,
        checkpoint_id=body.checkpoint_id,
        evaluation_id=body.evaluation_id,
        by=user,
        because=body.reason,
    )
    return promotion_out(promotion)


@router.post("/projects/{project_id}/promotions/{promotion_id}/undo", status_code=201)
def undo_promotion(
    session: SessionDep, user: CurrentUser, project: AdminProject, promotion_id: Number
) -> PromotionOut:
    """Go back to what was promoted before; only the last change can be undone."""
    promotion = found(
        queries.promotion_in(session, project_id=project.id, promotion_id=promotion_id)
    )
    undone = service.undo_promotion(session, project=project, promotion=promotion, by=user)
    return promotion_out(undone)


@router.put("/projects/{project_id}/promotion-rule")
def set_promotion_rule(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: RuleBody
) -> RuleOut:
    """What people must say of a model before it is promoted, and whether that happens by itself."""
    return rule_out(service.set_rule(session, project=project, body=body, by=user))


def evaluation_out(evaluation: Evaluation) -> EvaluationOut:
    reward = evaluation.reward_checkpoint_id
    return EvaluationOut(
        id=str(evaluation.id),
        project_id=str(evaluation.project_id),
        name=evaluation.name,
        a=_contestant_out(evaluation.a_checkpoint_id, evaluation.a_endpoint_id),
        b=_contestant_out(evaluation.b_checkpoint_id, evaluation.b_endpoint_id),
        state=evaluation.state,
        attempt=evaluation.attempt,
        activity=evaluation.activity,
        done=evaluation.done,
        total=evaluation.total,
        error=evaluation.error,
        config=evaluation.config | {"reward_checkpoint_id": str(reward) if reward else None},
        warnings=evaluation.warnings,
        open=evaluation.opened_at is not None and evaluation.closed_at is None,
        opened_at=evaluation.opened_at,
        closed_at=evaluation.closed_at,
        close_reason=evaluation.close_reason,
        created_at=evaluation.created_at,
        finished_at=evaluation.finished_at,
    )


def _contestant_out(checkpoint_id: UUID | None, endpoint_id: UUID | None) -> JsonObject:
    """As it is asked for; an endpoint by its id, under which it is known for good."""
    if endpoint_id is not None:
        return {"endpoint": str(endpoint_id)}
    return {"checkpoint": str(checkpoint_id)} if checkpoint_id else {"data": "best"}


def promotion_out(promotion: Promotion) -> PromotionOut:
    return PromotionOut(
        id=str(promotion.id),
        checkpoint_id=str(promotion.checkpoint_id) if promotion.checkpoint_id else None,
        evaluation_id=str(promotion.evaluation_id) if promotion.evaluation_id else None,
        undoes=str(promotion.undoes) if promotion.undoes else None,
        reason=promotion.reason,
        evidence=promotion.evidence,
        by=str(promotion.by) if promotion.by else None,
        at=promotion.at,
    )


def rule_out(rule: PromotionRule) -> RuleOut:
    terms = {"threshold": rule.threshold, "margin": rule.margin}
    return RuleOut(
        demand=rule.demand,
        **terms,
        automatic=rule.automatic,
        sentence=promoting.in_words(str(rule.demand), **terms),
    )
