"""Which checkpoint of a project is promoted, by which rule, and how it came to that."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.evaluation.models import Promotion, PromotionRule
from app.projects.models import Project
from app.runs.models import Checkpoint


def last_promotion(session: Session, *, project_id: UUID) -> Promotion | None:
    return session.scalar(
        select(Promotion)
        .where(Promotion.project_id == project_id)
        .order_by(Promotion.id.desc())
        .limit(1)
    )


def promoted(session: Session, *, project: Project) -> Checkpoint | None:
    """The checkpoint that writes for the project unless somebody chooses another."""
    last = last_promotion(session, project_id=project.id)
    if last is None or last.checkpoint_id is None:
        return None
    return session.get_one(Checkpoint, last.checkpoint_id)


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


def protected(session: Session) -> set[UUID]:
    """Checkpoints of all projects that a clean-up must leave alone.

    The promoted one of each project, and the one before it, which an undo brings back.
    """
    place = func.row_number().over(partition_by=Promotion.project_id, order_by=Promotion.id.desc())
    recent = select(Promotion.checkpoint_id, place.label("place")).subquery()
    found = select(recent.c.checkpoint_id).where(
        recent.c.place <= 2, recent.c.checkpoint_id.is_not(None)
    )
    return set(session.scalars(found).all())
