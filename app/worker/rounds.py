"""Looking after rounds: each goes on as soon as what it waits for is there."""

import structlog
from sqlalchemy.exc import OperationalError

from app.db import transaction
from app.rounds import queries
from app.rounds import service as rounds

log = structlog.get_logger(__name__)

MOST_MOVES = 12  # of one round in one look: more than its steps can make


def look_after_rounds() -> int:
    """Move every round on as far as it goes, each move in a transaction of its own; how often."""
    with transaction() as session:
        unfinished = queries.unfinished_ids(session)
    moved = 0
    for round_id in unfinished:
        for _ in range(MOST_MOVES):
            try:
                with transaction() as session:
                    has_moved = rounds.look(session, round_id=round_id)
            except OperationalError:
                raise
            except Exception:  # one round must not keep the others from going on
                log.exception("could not look after a round", round=str(round_id))
                break
            if not has_moved:
                break
            moved += 1
    return moved
