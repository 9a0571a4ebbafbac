"""One setting: its default and what forms, help and checks need to know of it."""

from dataclasses import field
from typing import Any


def setting(
    default: Any,
    help: str,  # noqa: A002 - the word people look for
    *,
    group: str = "training",
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    advanced: bool = False,
    local: bool = False,
) -> Any:
    """One setting: its default, its help text and its limits.

    A `local` one is for the command line alone: nobody may set it over the web.
    """
    metadata = {
        "help": help,
        "group": group,
        "choices": choices,
        "at_least": at_least,
        "at_most": at_most,
        "above": above,
        "advanced": advanced,
        "local": local,
    }
    return field(default=default, metadata=metadata)
