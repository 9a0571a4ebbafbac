"""What reports of imports say of people, taken out of them."""

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from app import artifacts
from app.corpus.models import Import
from app.projects.models import Project

TELLING = ("people", "samples", "refused")


def forget_reports(session: Session, *, project: Project) -> None:
    """Keep the numbers of every import of the project, and neither names nor lines of its file."""
    rows = session.scalars(
        select(Import)
        .where(
            Import.project_id == project.id,
            or_(Import.report.has_any(array(TELLING)), Import.errors != []),
        )
        .order_by(Import.id)
        .with_for_update()
    )
    for row in rows:
        kept = {key: value for key, value in row.report.items() if key != "refused"}
        if "people" in kept:
            kept["people"] = kept["people"] | {"new": [], "known": []}
        if "samples" in kept:
            kept["samples"] = []
        row.report = kept
        row.errors = [{"line": each["line"], "message": each["message"]} for each in row.errors]
        artifacts.remove(f"refused/{row.id}")
