"""Checked files that nobody has imported or thrown away go after a while."""

import structlog

from app.corpus import service as corpus
from app.db import database_now, transaction

log = structlog.get_logger(__name__)


def expire() -> int:
    """Throw away what has waited too long; how many."""
    with transaction() as session:
        gone = corpus.expire_checks(session, now=database_now(session))
    if gone:
        log.info("threw old checks away", checks=gone)
    return gone
