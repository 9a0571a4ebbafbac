"""What has been done about a person, and what can be: all that her page shows of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts.models import Role
from app.accounts.queries import events_about
from app.annotation.models import Requeue
from app.annotation.service.submitting import PAUSED_BECAUSE, PAUSED_BY_RULE
from app.projects.models import MemberMessage, Membership, Project, Standing
from app.projects.queries import member, messages_to
from app.quality.queries.care import requeues_of
from app.quality.rules.care import in_words
from app.tasks.models import Appeal
from app.tasks.queries import open_appeals

BY_RULE = "The gold rule"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of her log; `undo` names the form that takes it back, None where nothing can be."""

    at: datetime
    by: str | None
    what: str
    undo: str | None = None
    target: UUID | None = None  # the message or the re-queue that is meant


@dataclass(frozen=True, slots=True)
class Care:
    membership: Membership
    is_paused_by_gold: bool
    is_cause_gone: bool  # of that pause
    messages: Sequence[tuple[MemberMessage, str | None]]
    appeals: Sequence[Appeal]
    log: Sequence[Entry]


def care_for(session: Session, *, project: Project, role: Role, user_id: UUID) -> Care | None:
    """What an admin sees; nobody else sees anything."""
    if role is not Role.ADMIN:
        return None
    membership = member(session, project=project, user_id=user_id)
    return None if membership is None else care_of(session, project=project, membership=membership)


def care_of(session: Session, *, project: Project, membership: Membership) -> Care:
    by_gold = membership.paused_at is not None and membership.pause_reason == PAUSED_BECAUSE
    messages = messages_to(session, membership=membership)
    lines = open_appeals(session, project=project, user_id=membership.user_id)
    return Care(
        membership=membership,
        is_paused_by_gold=by_gold,
        is_cause_gone=by_gold and membership.standing is not Standing.FAILED,
        messages=messages,
        appeals=[line.appeal for line in lines],
        log=_log(session, membership, messages, is_paused_by_gold=by_gold),
    )


def _log(
    session: Session,
    membership: Membership,
    messages: Sequence[tuple[MemberMessage, str | None]],
    *,
    is_paused_by_gold: bool,
) -> list[Entry]:
    """Who did what, newest first; the last of each kind can be taken back while it holds."""
    requeues = {str(entry.id): entry for entry in requeues_of(session, membership=membership)}
    unread = {message.sent_at: message for message, _ in messages if _is_unread(message)}
    holds = {
        "project.member.pause": membership.paused_at is not None and not is_paused_by_gold,
        PAUSED_BY_RULE: is_paused_by_gold,
        "project.member.exclude": membership.excluded_at is not None,
    }
    events = events_about(session, project_id=membership.project_id, person=membership.user)
    log: list[Entry] = []
    for event, by in events:
        what = in_words(event.action, event.details)
        undo, target = None, None
        by_rule = event.action == PAUSED_BY_RULE
        if holds.pop(event.action, False):
            undo = "project.member.pause" if by_rule else event.action
        elif event.action == "project.member.requeue":
            undo, target = _undo_of(requeues.get(event.details.get("requeue", "")))
        elif event.action == "project.member.message":
            message = _message_of(unread, event.details.get("text", ""))
            undo, target = (event.action, message.id) if message else (None, None)
        log.append(Entry(event.at, BY_RULE if by_rule else by, what, undo, target))
    if (
        holds.get(PAUSED_BY_RULE) and membership.paused_at
    ):  # by an earlier version, which told nobody
        pause = Entry(membership.paused_at, BY_RULE, "paused her", undo="project.member.pause")
        log = sorted([*log, pause], key=lambda entry: entry.at, reverse=True)
    return log


def _undo_of(entry: Requeue | None) -> tuple[str | None, UUID | None]:
    is_open = entry is not None and entry.undone_at is None
    return ("project.member.requeue", entry.id) if entry and is_open else (None, None)


def _is_unread(message: MemberMessage) -> bool:
    return message.read_at is None and message.withdrawn_at is None and message.sent_by is not None


def _message_of(unread: dict[datetime, MemberMessage], text: str) -> MemberMessage | None:
    """The newest unread message with this text, each once."""
    for sent_at, message in unread.items():
        if message.body == text:
            return unread.pop(sent_at)
    return None
