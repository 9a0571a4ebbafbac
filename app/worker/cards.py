"""The model card is completed before the model is stored, so that its hash covers it."""

from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError

from app.db import transaction
from app.runs.queries.story import story_of
from app.runs.service.telling import complete_card

log = structlog.get_logger(__name__)


def complete(run_id: UUID, model: Path) -> None:
    """Add where the model comes from. A card that cannot be written costs no model."""
    try:
        with transaction() as session:
            story = story_of(session, run_id=run_id)
        complete_card(model, story)
    except (OperationalError, OSError, ValueError) as error:
        log.warning("the model card is not complete", run=str(run_id), error=str(error))
