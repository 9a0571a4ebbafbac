"""Ids on the wire."""

from uuid import UUID


def text(identity: UUID | None) -> str | None:
    return None if identity is None else str(identity)
