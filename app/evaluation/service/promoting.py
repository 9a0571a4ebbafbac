"""Which checkpoint writes for the project: at most one, by a rule, with its history."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.db import JsonObject
from app.errors import Conflict, Invalid
from app.evaluation import queries
from app.evaluation.models import Evaluation, Promotion, PromotionRule
from app.evaluation.queries import Verdict
from app.evaluation.rules import promoting as rules
from app.evaluation.schemas import RuleBody
from app.projects.models import Project
from app.runs import queries as runs
from app.runs import rules as run_rules
from app.runs.models import Checkpoint

LOCK = 7_204_014  # with the project's hash: one promotion of a project at a time


def set_rule(session: Session, *, project: Project, body: RuleBody, by: User) -> PromotionRule:
    values: dict[str, Any] = body.model_dump()
    session.execute(
        insert(PromotionRule)
        .values(project_id=project.id, **values)
        .on_conflict_do_update(index_elements=[PromotionRule.project_id], set_=values)
    )
    rule = session.get_one(PromotionRule, project.id, populate_existing=True)
    audit(
        session,
        user=by,
        action="promotion.rule",
        target=f"project {project.id}",
        project_id=project.id,
        **body.model_dump(mode="json"),
    )
    return rule


def promote(
    session: Session,
    *,
    project: Project,
    checkpoint: Checkpoint,
    by: User | None,
    because: str = "",
    evaluation: Evaluation | None = None,
) -> Promotion:
    """Make it the checkpoint that writes for the project; `by` None: by the rule.

    `because` says why in a sentence; the figures of `evaluation` are kept beside it. Whoever does
    it by hand may do so against the rule: what the evidence was is on record.
    """
    if checkpoint.project_id != project.id:
        raise Invalid(f"checkpoint_id: there is no checkpoint {checkpoint.id} in this project.")
    if not run_rules.is_writer(checkpoint.kind):
        raise Invalid(
            f"“{checkpoint.name}” is a reward model, which scores and does not write: only a model "
            "that writes can be promoted."
        )
    _lock(session, project)
    present = queries.promoted(session, project=project)
    if present is not None and present.id == checkpoint.id:
        raise Conflict(f"“{checkpoint.name}” is the promoted one already.")
    evidence: JsonObject = {"former": str(present.id) if present else None}
    if evaluation is not None:
        evidence |= asdict(queries.verdict(session, evaluation=evaluation))
    return _append(
        session,
        project,
        by=by,
        checkpoint=checkpoint,
        evaluation=evaluation,
        reason=because.strip() or _said(evidence),
        evidence=evidence,
    )


def promote_by_id(
    session: Session,
    *,
    project: Project,
    checkpoint_id: UUID,
    evaluation_id: UUID | None,
    by: User,
    because: str,
) -> Promotion:
    """The same by what a form or a program names."""
    checkpoint = runs.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint_id)
    if checkpoint is None:
        raise Invalid(f"checkpoint_id: there is no checkpoint {checkpoint_id} in this project.")
    evaluation = evaluation_id and queries.evaluation_in(
        session, project_id=project.id, evaluation_id=evaluation_id
    )
    if evaluation_id and (not evaluation or evaluation.a_checkpoint_id != checkpoint.id):
        raise Invalid(
            f"evaluation_id: no evaluation {evaluation_id} of this project has the checkpoint as A."
        )
    return promote(
        session,
        project=project,
        checkpoint=checkpoint,
        by=by,
        because=because,
        evaluation=evaluation or None,
    )


def undo_promotion(
    session: Session, *, project: Project, promotion: Promotion, by: User
) -> Promotion:
    """Go back to what was promoted before the last change; done twice, it is as it was."""
    _lock(session, project)
    last, before = (*queries.promotions_of(session, project=project)[:2], None)[:2]
    if last is None or last.id != promotion.id:
        raise Conflict("Something else was promoted since: only the last change can be undone.")
    former = before.checkpoint_id if before else None
    checkpoint = session.get_one(Checkpoint, former) if former else None
    name = f"back to “{checkpoint.name}”" if checkpoint else "back to no promoted model"
    return _append(
        session,
        project,
        by=by,
        checkpoint=checkpoint,
        evaluation=None,
        reason=f"Undone: {name}.",
        evidence={"former": str(last.checkpoint_id) if last.checkpoint_id else None},
        undoes=last.id,
    )


def promote_if_earned(
    session: Session, *, evaluation: Evaluation, found: Verdict
) -> Promotion | None:
    """Promote A where the project's rule says so by itself; None where nothing changes.

    A must be a checkpoint and have met the promoted one, or, while none is, whatever B is.
    """
    project = session.get_one(Project, evaluation.project_id)
    rule = queries.rule_of(session, project=project)
    if not rule.automatic or not earns(session, evaluation=evaluation, found=found):
        return None
    reason = rules.because(found.low or 0.0, found.high or 1.0, **_terms(rule))
    checkpoint = session.get_one(Checkpoint, evaluation.a_checkpoint_id)
    return promote(
        session,
        project=project,
        checkpoint=checkpoint,
        by=None,
        because=f"By the project’s rule. {reason}",
        evaluation=evaluation,
    )


def earns(session: Session, *, evaluation: Evaluation, found: Verdict) -> bool:
    """Whether the rule is for promoting A after this evaluation; an endpoint is never promoted."""
    if evaluation.a_checkpoint_id is None:
        return False
    project = session.get_one(Project, evaluation.project_id)
    present = queries.promoted(session, project=project)
    if present is not None and present.id != evaluation.b_checkpoint_id:
        return False
    if found.low is None:
        return False
    return rules.passes(found.low, **_terms(queries.rule_of(session, project=project)))


def _terms(rule: PromotionRule) -> dict[str, Any]:
    return {"demand": str(rule.demand), "threshold": rule.threshold, "margin": rule.margin}


def _said(evidence: JsonObject) -> str:
    return "By hand." if evidence.get("win_rate") is None else "By hand, after an evaluation."


def _lock(session: Session, project: Project) -> None:
    key = func.hashtext(str(project.id))
    session.execute(select(func.pg_advisory_xact_lock(LOCK, key)))


def _append(
    session: Session,
    project: Project,
    *,
    by: User | None,
    checkpoint: Checkpoint | None,
    evaluation: Evaluation | None,
    reason: str,
    evidence: JsonObject,
    undoes: int | None = None,
) -> Promotion:
    promotion = Promotion(
        project_id=project.id,
        checkpoint_id=checkpoint.id if checkpoint else None,
        evaluation_id=evaluation.id if evaluation else None,
        reason=reason,
        evidence=evidence,
        undoes=undoes,
        by=by.id if by else None,
    )
    session.add(promotion)
    session.flush()  # the next one is compared with it
    audit(
        session,
        user=by,
        action="promotion.undo" if undoes else "promotion.promote",
        target=f"checkpoint {checkpoint.id}" if checkpoint else f"project {project.id}",
        project_id=project.id,
        reason=reason,
    )
    return promotion
