"""The audit log: append-only, each hash covers the one before."""

import hashlib
import json
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.accounts.models import AuditEvent, User

AUDIT_LOCK = 7_204_002


def audit(
    session: Session,
    *,
    user: User | None,
    action: str,
    target: str,
    project_id: UUID | None = None,
    **details: Any,
) -> None:
    """Append to the audit log. Each hash covers the one before, so that a change shows."""
    # One writer at a time until commit: two events must not follow the same one.
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AUDIT_LOCK})
    previous = session.scalar(select(AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1))
    event = AuditEvent(
        at=session.scalars(select(func.clock_timestamp())).one(),
        user_id=user.id if user else None,
        project_id=project_id,
        action=action,
        target=target,
        details=details,
        previous_hash=previous or b"",
    )
    event.hash = event_hash(event)
    session.add(event)
    session.flush()  # the next event of this transaction follows this one


def event_hash(event: AuditEvent) -> bytes:
    content = json.dumps(
        [
            event.at.isoformat(),
            str(event.user_id),
            str(event.project_id),
            event.action,
            event.target,
            event.details,
        ],
        sort_keys=True,
    )
    return hashlib.sha256(event.previous_hash + content.encode()).digest()
