"""Which checkpoint of a project is promoted, by which rule, and how it came to that."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.evaluation.models import Promotion, PromotionRule
from app.projects.models import Project
from app.runs import queries as runs
from app.runs.models import Checkpoint


def promoted(session: Session, *, project: Project) -> Checkpoint | None:
    """The checkpoint that writes for the project unless somebody chooses another."""
    checkpoint_id = runs.promoted_id(session, project=project)
    return session.get_one(Checkpoint, checkpoint_id) if checkpoint_id else None


def promotions_of(session: Session, *, project: Project) -> Sequence[Promotion]:
    """The last first."""
    return session.scalars(
        select(Promotion).where(Promotion.project_id == project.id).order_by(Promotion.id.desc())
    ).all()


def promotion_in(session: Session, *, project_id: UUID, promotion_id: int) -> Promotion | None:
    return session.scalar(
        select(Promotion).where(Promotion.id == promotion_id, Promotion.project_id == project_id)
    )


def rule_of(session: Session, *, project: Project) -> PromotionRule:
    """The project's own, or the defaults as a row that is not stored."""
    return session.get(PromotionRule, project.id) or PromotionRule(
        project_id=project.id, demand="better", threshold=0.55, margin=0.05, automatic=False
    )
