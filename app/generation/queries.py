"""Reads of generations."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.generation.models import Generation
from app.projects.models import Project
from app.runs.models import Checkpoint


def generation_in(session: Session, *, project_id: UUID, generation_id: UUID) -> Generation | None:
    return session.scalar(
        select(Generation).where(
            Generation.id == generation_id, Generation.project_id == project_id
        )
    )


def generations_of(
    session: Session, *, project: Project, checkpoint: Checkpoint | None = None
) -> Sequence[Generation]:
    generations = select(Generation).where(Generation.project_id == project.id)
    if checkpoint is not None:
        generations = generations.where(Generation.checkpoint_id == checkpoint.id)
    return session.scalars(generations.order_by(Generation.created_at.desc()).limit(50)).all()
