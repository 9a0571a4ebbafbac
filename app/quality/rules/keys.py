"""A gold key as people write it: `A > B, C = D`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.errors import Invalid
from app.quality.rules.review import label
from app.tasks.rules import Pair

_CHAIN = re.compile(r"^\s*[A-Z](\s*[>=]\s*[A-Z])+\s*$")


@dataclass(frozen=True, slots=True)
class Key:
    prefers: Sequence[Pair]
    equal: Sequence[Pair]


def read_key(text: str, *, size: int) -> Key:
    """Chains of letters with > and =, apart by commas; `Invalid` where it cannot be read."""
    prefers: list[Pair] = []
    equal: list[Pair] = []
    chains = [part for part in re.split(r"[,;\n]", text.upper()) if part.strip()]
    if not chains:
        raise Invalid("The key is empty. Say what must be better than what: A > B.")
    for chain in chains:
        if not _CHAIN.match(chain):
            raise Invalid(
                f"“{chain.strip()[:40]}” cannot be read. Write letters with > (better) or = "
                "(equal) between them, and commas between the parts: A > B, B = C."
            )
        letters = re.findall(r"[A-Z]", chain)
        places = [ord(letter) - ord("A") for letter in letters]
        if beyond := [letters[n] for n, place in enumerate(places) if place >= size]:
            known = f"A to {label(size - 1)}"
            raise Invalid(f"There is no response {beyond[0]} here; this task has {known}.")
        for sign, (i, j) in zip(re.findall(r"[>=]", chain), pairwise(places), strict=True):
            if i == j:
                raise Invalid(f"{label(i)} cannot be compared with itself. Take that away.")
            (prefers if sign == ">" else equal).append((i, j))
    return Key(prefers, equal)


def key_in_words(prefers: Sequence[Sequence[int]], equal: Sequence[Sequence[int]] = ()) -> str:
    """What `read_key` reads."""
    parts = [f"{label(i)} > {label(j)}" for i, j in prefers]
    return ", ".join(parts + [f"{label(i)} = {label(j)}" for i, j in equal])


def key_of(ranks: Sequence[int]) -> str:
    """The key that an order of the responses suggests: all of it."""
    order = sorted(range(len(ranks)), key=lambda place: (ranks[place], place))
    words = label(order[0])
    for before, place in pairwise(order):
        words += f" {'=' if ranks[before] == ranks[place] else '>'} {label(place)}"
    return words
