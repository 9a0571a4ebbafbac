"""What a member may judge, and how much of it."""

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.errors import Invalid
from app.projects.models import Membership, Project
from app.projects.schemas import MemberTerms


def set_terms(
    session: Session, *, project: Project, membership: Membership, terms: MemberTerms, by: User
) -> None:
    """Change the terms that are named; they hold from her next claim on. Twice is once."""
    changed = {
        name: value for name, value in terms.named().items() if value != getattr(membership, name)
    }
    if not changed:
        return
    if membership.imported_name is not None:
        raise Invalid(f"{membership.user.name} came with imported data and gets no tasks.")
    for name, value in changed.items():
        setattr(membership, name, value)
    session.flush()
    audit(
        session,
        user=by,
        action="project.member.terms",
        target=membership.user.email or membership.user.name,
        project_id=project.id,
        **changed,
    )
