"""What an admin does about a member, each with a way back: messages, and a place outside snapshots.

Pauses are in `members`. Everything is written into the audit log, under the person it is about.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.errors import Conflict, Invalid, NotFound
from app.projects.models import MemberMessage, Membership, Project

LONGEST_MESSAGE = 2_000


def note(
    session: Session, action: str, *, membership: Membership, by: User, **details: str | int
) -> None:
    """Write into the audit log what was done about a member."""
    audit(
        session,
        user=by,
        action=action,
        target=membership.user.email or membership.user.name,
        project_id=membership.project_id,
        user_id=str(membership.user_id),
        **details,
    )


def send_message(
    session: Session, *, membership: Membership, body: str, by: User, now: datetime
) -> MemberMessage:
    """Plain text that she sees on her pages until she says that she has read it."""
    text = body.strip()
    if not text:
        raise Invalid("There is nothing in this message yet. Write a sentence or two.")
    if len(text) > LONGEST_MESSAGE:
        raise Invalid(f"A message has at most {LONGEST_MESSAGE:,} characters. Make it shorter.")
    if membership.user.password_hash is None:
        raise Invalid(
            f"{membership.user.name} does not sign in here, so nobody would read the message."
        )
    message = tell(session, project_id=membership.project_id, user_id=membership.user_id, body=text)
    message.sent_by, message.sent_at = by.id, now
    note(session, "project.member.message", membership=membership, by=by, text=text)
    session.flush()  # its id is part of the answer
    return message


def tell(session: Session, *, project_id: UUID, user_id: UUID, body: str) -> MemberMessage:
    """A message in the name of the project: an answer to what she asked."""
    message = MemberMessage(project_id=project_id, user_id=user_id, body=body)
    session.add(message)
    return message


def withdraw_message(
    session: Session, *, membership: Membership, message_id: UUID, by: User, now: datetime
) -> None:
    """Take a message back before she has read it; twice is once."""
    hers = (
        MemberMessage.id == message_id,
        MemberMessage.project_id == membership.project_id,
        MemberMessage.user_id == membership.user_id,
    )
    gone = session.scalar(
        update(MemberMessage)
        .where(*hers, MemberMessage.read_at.is_(None), MemberMessage.withdrawn_at.is_(None))
        .values(withdrawn_at=now)
        .returning(MemberMessage.id)
    )
    if gone is not None:
        note(session, "project.member.message.withdraw", membership=membership, by=by)
        return
    message = session.get(MemberMessage, message_id, populate_existing=True)
    if message is None or (message.project_id, message.user_id) != (
        membership.project_id,
        membership.user_id,
    ):
        raise NotFound
    if message.read_at is not None:
        raise Conflict(
            "She has read this message already. Write another one that puts it right instead."
        )


def mark_read(session: Session, *, user: User, project: Project, message_id: UUID) -> None:
    """The message has been read by the person it was for; twice is once."""
    session.execute(
        update(MemberMessage)
        .where(
            MemberMessage.id == message_id,
            MemberMessage.project_id == project.id,
            MemberMessage.user_id == user.id,
            MemberMessage.read_at.is_(None),
            MemberMessage.withdrawn_at.is_(None),
        )
        .values(read_at=func.now())
    )


def exclude_member(
    session: Session, *, membership: Membership, reason: str, by: User, now: datetime
) -> None:
    """Leave her judgements out of every snapshot from now on; twice is once."""
    changed = session.scalar(
        update(Membership)
        .where(
            Membership.project_id == membership.project_id,
            Membership.user_id == membership.user_id,
            Membership.excluded_at.is_(None),
        )
        .values(excluded_at=now, exclude_reason=reason.strip() or None)
        .returning(Membership.user_id)
    )
    if changed is not None:
        note(session, "project.member.exclude", membership=membership, by=by, reason=reason.strip())


def include_member(session: Session, *, membership: Membership, by: User) -> None:
    """Take her judgements into snapshots again; twice is once."""
    changed = session.scalar(
        update(Membership)
        .where(
            Membership.project_id == membership.project_id,
            Membership.user_id == membership.user_id,
            Membership.excluded_at.is_not(None),
        )
        .values(excluded_at=None, exclude_reason=None)
        .returning(Membership.user_id)
    )
    if changed is not None:
        note(session, "project.member.include", membership=membership, by=by)
