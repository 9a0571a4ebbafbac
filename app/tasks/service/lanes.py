"""What the tasks of a prompt ask of their judges."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.corpus.models import Prompt
from app.db import among
from app.projects.models import Project
from app.projects.rules import language_of
from app.tasks import rules
from app.tasks.models import TaskLane


def lanes_of(
    session: Session, *, project: Project, prompt_ids: Collection[UUID]
) -> dict[UUID, str]:
    """The lane of each prompt that asks anything; lanes that are new come in here."""
    if not prompt_ids:
        return {}
    asking = session.execute(
        select(Prompt.id, Prompt.language, Prompt.expertise).where(
            among(Prompt.id, prompt_ids),
            or_(Prompt.language.is_not(None), func.cardinality(Prompt.expertise) > 0),
        )
    )
    lanes: dict[UUID, str] = {}
    rows: dict[str, dict[str, object]] = {}
    for prompt_id, tag, expertise in asking:
        language = language_of(tag)
        lanes[prompt_id] = key = rules.lane(language=language, expertise=expertise)
        about = {"language": language, "expertise": sorted(expertise)}
        rows[key] = {"project_id": project.id, "key": key, **about}
    rows.pop("", None)
    if rows:
        session.execute(insert(TaskLane).values(list(rows.values())).on_conflict_do_nothing())
    return lanes
