"""Taking out of the projects who somebody is."""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.projects.models import GuidelinesDraft, MemberMessage, Membership
from app.projects.rules import fingerprint

GONE = "(This text has been erased.)"


def imported_names(session: Session, *, user: User) -> list[str]:
    """What files call her."""
    names = select(Membership.imported_name).where(
        Membership.user_id == user.id, Membership.imported_name.is_not(None)
    )
    return [name for name in session.scalars(names) if name]


def forget_member(session: Session, *, user: User) -> None:
    """What her memberships say of her goes, and what was written to her; her figures stay."""
    for membership in session.scalars(select(Membership).where(Membership.user_id == user.id)):
        if membership.imported_name is not None:
            membership.erased_name = fingerprint(membership.project_id, membership.imported_name)
            membership.imported_name = None
        membership.expertise, membership.languages = [], []
        membership.pause_reason = membership.exclude_reason = None
    session.execute(delete(MemberMessage).where(MemberMessage.user_id == user.id))
    session.execute(delete(GuidelinesDraft).where(GuidelinesDraft.user_id == user.id))


def forget_messages_from(session: Session, *, user: User) -> None:
    """What she wrote to others."""
    session.execute(update(MemberMessage).where(MemberMessage.sent_by == user.id).values(body=GONE))
