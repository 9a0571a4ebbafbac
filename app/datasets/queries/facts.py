"""What became of judgements that a manifest names."""

from collections.abc import Callable, Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.datasets.rules.absence import Fact
from app.db import among
from app.projects.models import Project


def facts_of(session: Session, *, project: Project) -> Callable[[Collection[str]], dict[str, Fact]]:
    """A function from ids to what became of them; what is no longer there is left out."""

    def look_up(ids: Collection[str]) -> dict[str, Fact]:
        rows = session.execute(
            select(
                Annotation.id,
                Annotation.submitted_at,
                Annotation.guidelines_version,
                Annotation.is_current,
                Annotation.counted,
                Annotation.source,
            ).where(
                among(Annotation.id, [UUID(its) for its in ids]),
                Annotation.project_id == project.id,
            )
        )
        return {
            str(row.id): Fact(
                submitted_at=row.submitted_at,
                guidelines_version=row.guidelines_version,
                is_current=row.is_current,
                counts=row.counted,
                is_source=row.source is not None,
            )
            for row in rows
        }

    return look_up
