"""Keys and passwords: what they look like, and when they are good enough."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

TOKEN_PREFIX = "tst_"  # noqa: S105  # helps secret scanners to recognise ours
PASSWORD_MIN = 8
PASSWORD_MAX = 256
# The most common passwords of at least eight signs, and what people type here first.
COMMON_PASSWORDS = {
    "password", "passw0rd", "password1", "password123", "12345678", "123456789", "1234567890",
    "qwertyui", "qwertyuiop", "qwerty123", "1q2w3e4r", "1qaz2wsx", "11111111", "00000000",
    "iloveyou", "sunshine", "princess", "football", "baseball", "superman", "starwars",
    "trustno1", "welcome1", "letmein1", "admin123", "administrator", "touchstone", "changeme",
    "abcd1234", "a1b2c3d4", "88888888", "87654321", "asdfghjk", "zaq12wsx", "computer",
}  # fmt: skip


BREAKS_AFTER = (0, 25, 50, 90)  # minutes at the screen before the word about a break; 0 = never
BREAK_AFTER = 50


def break_after(preferences: Mapping[str, Any]) -> int:
    """After how many minutes she wants to hear about a break."""
    chosen = preferences.get("break_after")
    return chosen if chosen in BREAKS_AFTER else BREAK_AFTER


def new_key() -> str:
    """256 random bits, as text."""
    return secrets.token_urlsafe(32)


def key_hash(key: str) -> bytes:
    """SHA-256 of a key: 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).digest()


def password_problem(password: str, *, email: str, name: str) -> str | None:
    """What is wrong with a new password, as a sentence; None when it will do."""
    if len(password) < PASSWORD_MIN:
        return f"Take a password of at least {PASSWORD_MIN} characters; 15 or more are better."
    if len(password) > PASSWORD_MAX:
        return f"Take a password of at most {PASSWORD_MAX} characters."
    lowered = password.casefold()
    if lowered in COMMON_PASSWORDS or len(set(password)) <= 2:
        return "This password is one of the first that anybody would try. Take another one."
    if lowered in {email.casefold(), email.split("@", maxsplit=1)[0].casefold(), name.casefold()}:
        return "A password must not be your own name or address. Take another one."
    return None


def is_expired(expires_at: datetime | None, *, now: datetime) -> bool:
    return expires_at is not None and expires_at <= now


def refilled(tokens: float, *, since: timedelta, capacity: float, per_second: float) -> float:
    """Tokens in a bucket after `since`, never more than it holds."""
    return min(capacity, tokens + since.total_seconds() * per_second)
