"""A gold key in words, and as places in a form; how a change of it changes a person's score."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

from app.errors import Invalid
from app.quality.rules.review import label
from app.tasks.rules import order_of_key

Pairs = Sequence[Sequence[int]]

FREE = 0  # the place of a response that the key does not name


def key_in_words(prefers: Pairs, equal: Pairs, *, size: int, ties_allowed: bool) -> str:
    """`A > B = C` where the key allows one order only, else its parts."""
    order = order_of_key(size, prefers=prefers, equal=equal)
    if order is not None:
        said = " > ".join(" = ".join(map(label, group)) for group in order)
    else:
        parts = [f"{label(i)} > {label(j)}" for i, j in prefers]
        said = ", ".join(parts + [f"{label(i)} = {label(j)}" for i, j in equal])
    return f"{said} (a tie passes as well)" if ties_allowed and prefers else said


def places_of_key(prefers: Pairs, equal: Pairs, *, size: int) -> list[int]:
    """A place for each response as a form shows it, 1 = best; `FREE` where the key names it not.

    Where the key leaves two of them open, they get places that it allows.
    """
    named = {place for pair in (*prefers, *equal) for place in pair}
    places = [1 if place in named else FREE for place in range(size)]
    for _ in range(size):  # a consistent key has settled by then
        for i, j in prefers:
            places[j] = max(places[j], places[i] + 1)
        for i, j in equal:
            places[i] = places[j] = max(places[i], places[j])
    return places


def key_of_places(places: Sequence[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(prefers, equal) of a form: neighbours only, since the rest follows. `Invalid` if empty."""
    groups = [
        [place for place, given in enumerate(places) if given == wanted]
        for wanted in sorted(set(places) - {FREE})
    ]
    prefers = [(i, j) for better, worse in pairwise(groups) for i in better for j in worse]
    equal = [(i, j) for group in groups for i, j in pairwise(group)]
    if not prefers and not equal:
        raise Invalid(
            "This key says nothing, so every answer would pass it. Give two responses a place."
        )
    return prefers, equal


def edition(*parts: Any) -> str:
    """What a page has shown of a key, to see whether somebody has changed it meanwhile."""
    return sha256(repr(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Score:
    """What gold says of a person; `qualified` where the qualification does."""

    standing: str
    seen: int
    passed: int
    is_qualified: bool


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """How a change of a key changes it."""

    user_id: str
    name: str
    before: Score
    after: Score
    is_paused: bool  # by the rule that looks at gold

    def in_words(self) -> str:
        """What is another thing than before."""
        before, after = self.before, self.after
        parts = []
        if before.standing != after.standing:
            parts.append(f"{STANDINGS[before.standing]} → {STANDINGS[after.standing]}")
        if (before.seen, before.passed) != (after.seen, after.passed):
            parts.append(
                f"{before.passed} of {before.seen} → {after.passed} of {after.seen} gold right"
            )
        if after.is_qualified and not before.is_qualified:
            parts.append("passes the qualification now")
        if self.is_paused and before.standing != after.standing:
            parts.append("the pause stays until an admin lifts it")
        return "; ".join(parts)


STANDINGS = {
    "good": "good",
    "warned": "close to failing",
    "failed": "fails gold",
}
