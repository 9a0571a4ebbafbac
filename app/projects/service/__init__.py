"""Changes to projects, their members and their guidelines."""

from app.projects.service.care import (
    exclude_member,
    include_member,
    mark_read,
    note,
    send_message,
    tell,
    withdraw_message,
)
from app.projects.service.erasing import forget_member, forget_messages_from, imported_names
from app.projects.service.guidelines import add_example, drop_draft, save_draft
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
from app.projects.service.moving import plain_settings, settings_from, settings_of
from app.projects.service.settings import (
    Outdated,
    changes,
    create,
    edition,
    follow_overlap,
    lock,
    require_current,
    undo,
    undoing,
    update_settings,
)
from app.projects.service.terms import set_terms

__all__ = [
    "Outdated",
    "acknowledge_guidelines",
    "add_example",
    "changes",
    "create",
    "drop_draft",
    "edition",
    "ensure_membership",
    "exclude_member",
    "follow_overlap",
    "forget_member",
    "forget_messages_from",
    "imported_members",
    "imported_names",
    "include_member",
    "lock",
    "mark_read",
    "note",
    "pause_member",
    "plain_settings",
    "remove_member",
    "require_current",
    "resume_member",
    "save_draft",
    "send_message",
    "set_member",
    "set_member_by_email",
    "set_terms",
    "settings_from",
    "settings_of",
    "tell",
    "undo",
    "undoing",
    "update_settings",
    "withdraw_message",
]
