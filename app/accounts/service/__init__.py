"""Writes of people and keys."""

from app.accounts.service.audit_log import audit, event_hash
from app.accounts.service.erasing import erase_identity, lock_erasures, require_erasable
from app.accounts.service.joining import (
    create_user,
    disable,
    enable,
    imported_users,
    invite,
    open_link,
    setup_link,
    use_link,
)
from app.accounts.service.keys import (
    change_password,
    close_session,
    create_token,
    open_session,
    revoke_token,
    set_preference,
    sign_in,
)
from app.accounts.service.passwords import hash_password

__all__ = [
    "audit",
    "change_password",
    "close_session",
    "create_token",
    "create_user",
    "disable",
    "enable",
    "erase_identity",
    "event_hash",
    "hash_password",
    "imported_users",
    "invite",
    "lock_erasures",
    "open_link",
    "open_session",
    "require_erasable",
    "revoke_token",
    "set_preference",
    "setup_link",
    "sign_in",
    "use_link",
]
