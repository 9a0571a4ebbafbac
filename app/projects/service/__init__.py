"""Changes to projects, their members and their guidelines."""

from app.projects.service.members import (
    acknowledge_guidelines,
    ensure_membership,
    imported_members,
    pause_member,
    remove_member,
    resume_member,
    set_member,
    set_member_by_email,
)
from app.projects.service.settings import create, lock, update_settings
from app.projects.service.terms import set_terms

__all__ = [
    "acknowledge_guidelines",
    "create",
    "ensure_membership",
    "imported_members",
    "lock",
    "pause_member",
    "remove_member",
    "resume_member",
    "set_member",
    "set_member_by_email",
    "set_terms",
    "update_settings",
]
