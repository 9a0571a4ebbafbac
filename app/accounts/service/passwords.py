"""Passwords: argon2id, checked in constant time whether or not there is such a person."""

from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from app.accounts import rules
from app.errors import Invalid

HASHER = PasswordHasher()  # argon2id, RFC 9106's second recommended setting: 64 MiB, t = 3
HASHING = BoundedSemaphore(2)  # 64 MiB each: a burst of sign-ins must not eat the memory


@cache
def nobodys_hash() -> str:
    """What an unknown address is checked against, so that it costs as much as a wrong password.

    Made on first use: every process imports this, and few check passwords.
    """
    return hash_password("nobody")


def hash_password(password: str) -> str:
    with HASHING:
        return HASHER.hash(password)


def password_matches(password: str, password_hash: str) -> bool:
    with HASHING:
        try:
            return HASHER.verify(password_hash, password)
        except VerificationError:
            return False


def require_good_password(password: str, *, email: str, name: str) -> None:
    if sentence := rules.password_problem(password, email=email, name=name):
        raise Invalid(sentence, errors=[{"field": "password", "message": sentence}])
