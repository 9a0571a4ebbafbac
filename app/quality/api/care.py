"""What is done about a person, as JSON; each has a way back."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.accounts.auth import CurrentUser
from app.annotation import service as annotation
from app.db import Now, SessionDep
from app.errors import found
from app.projects import service as projects
from app.projects.auth import AdminMember, AdminProject
from app.projects.models import MemberMessage, Membership
from app.projects.queries import messages_to
from app.quality.queries.care import requeue_of
from app.quality.schemas.care import (
    CareOut,
    MessageBody,
    MessageOut,
    MessagePage,
    ReachOut,
    ReasonBody,
    RequeueBody,
    RequeueOut,
    RestoredOut,
)

router = APIRouter(tags=["quality"])

HERS = "/projects/{project_id}/members/{user_id}"


@router.post(f"{HERS}/pause")
def pause_work(
    session: SessionDep,
    project: AdminProject,
    membership: AdminMember,
    user: CurrentUser,
    now: Now,
    body: ReasonBody,
) -> CareOut:
    """Hand her no more tasks; she reads the reason."""
    projects.pause_member(
        session, project=project, membership=membership, reason=body.reason, by=user, now=now
    )
    return care_out(session, membership)


@router.delete(f"{HERS}/pause")
def resume_work(
    session: SessionDep, project: AdminProject, membership: AdminMember, user: CurrentUser
) -> CareOut:
    projects.resume_member(session, project=project, membership=membership, by=user)
    return care_out(session, membership)


@router.post(f"{HERS}/exclusion")
def keep_out(
    session: SessionDep,
    membership: AdminMember,
    user: CurrentUser,
    now: Now,
    body: ReasonBody,
) -> CareOut:
    """Leave her judgements out of every new snapshot."""
    projects.exclude_member(session, membership=membership, reason=body.reason, by=user, now=now)
    return care_out(session, membership)


@router.delete(f"{HERS}/exclusion")
def take_in(session: SessionDep, membership: AdminMember, user: CurrentUser) -> CareOut:
    projects.include_member(session, membership=membership, by=user)
    return care_out(session, membership)


@router.get(f"{HERS}/messages")
def list_messages(session: SessionDep, membership: AdminMember) -> MessagePage:
    """What she was told, newest first, and when she read it."""
    rows = messages_to(session, membership=membership)
    return MessagePage(items=[message_out(message, name) for message, name in rows])


@router.post(f"{HERS}/messages", status_code=201)
def send_message(
    session: SessionDep,
    membership: AdminMember,
    user: CurrentUser,
    now: Now,
    body: MessageBody,
) -> MessageOut:
    """Plain text on top of her pages until she has read it."""
    message = projects.send_message(
        session, membership=membership, body=body.body, by=user, now=now
    )
    return message_out(message, user.name)


@router.delete(f"{HERS}/messages/{{message_id}}", status_code=204)
def take_message_back(
    session: SessionDep, membership: AdminMember, user: CurrentUser, now: Now, message_id: UUID
) -> None:
    """Take a message back that she has not read yet."""
    projects.withdraw_message(
        session, membership=membership, message_id=message_id, by=user, now=now
    )


@router.get(f"{HERS}/requeue")
def see_requeue(
    session: SessionDep,
    project: AdminProject,
    membership: AdminMember,
    query: Annotated[RequeueBody, Query()],
) -> ReachOut:
    """What re-queueing would do now; nothing is done."""
    done = annotation.reach(session, project=project, membership=membership, which=query.which())
    return ReachOut(judgements=done.judgements, opened=done.opened, closed=done.closed)


@router.post(f"{HERS}/requeue", status_code=201)
def have_judged_again(
    session: SessionDep,
    project: AdminProject,
    membership: AdminMember,
    user: CurrentUser,
    now: Now,
    body: RequeueBody,
) -> RequeueOut:
    """Her judgements stop counting, and others judge their tasks again."""
    entry, done = annotation.requeue(
        session, project=project, membership=membership, which=body.which(), by=user, now=now
    )
    return RequeueOut(
        id=str(entry.id), judgements=done.judgements, opened=done.opened, closed=done.closed
    )


@router.delete(f"{HERS}/requeue/{{requeue_id}}")
def count_again(
    session: SessionDep,
    project: AdminProject,
    membership: AdminMember,
    user: CurrentUser,
    now: Now,
    requeue_id: UUID,
) -> RestoredOut:
    """Count her judgements again where nobody has taken the place."""
    entry = found(requeue_of(session, membership=membership, requeue_id=requeue_id))
    restored = annotation.undo_requeue(
        session, project=project, membership=membership, entry=entry, by=user, now=now
    )
    return RestoredOut(counted=restored.counted, surplus=restored.surplus)


def care_out(session: SessionDep, membership: Membership) -> CareOut:
    session.refresh(membership, ["paused_at", "pause_reason", "excluded_at", "exclude_reason"])
    return CareOut(
        user_id=str(membership.user_id),
        paused_at=membership.paused_at,
        pause_reason=membership.pause_reason,
        excluded_at=membership.excluded_at,
        exclude_reason=membership.exclude_reason,
    )


def message_out(message: MemberMessage, sender: str | None) -> MessageOut:
    return MessageOut(
        id=str(message.id),
        body=message.body,
        sent_by=sender,
        sent_at=message.sent_at,
        read_at=message.read_at,
        withdrawn_at=message.withdrawn_at,
    )
