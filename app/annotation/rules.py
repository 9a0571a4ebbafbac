"""What a judgement means: from labels on the screen to ranks of canonical responses and back."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any, TypeVar

from app.errors import Invalid

T = TypeVar("T")
Ranking = Sequence[Sequence[str]]  # groups of labels, best first; a group is a tie

UNDO_DEPTH = 10  # submissions that a person can still change
SOURCE = re.compile(r"(dataset|model|source|checkpoint)[:/]", re.IGNORECASE)

# Of adaptive overlap where the project names none: in simulation (tests/benchmarks/overlap.py) the
# accuracy of a fixed overlap then takes 1.6–1.8 times fewer judgements, with 0.8 only 1.3–1.5.
DEFAULT_CONFIDENCE = 0.95
PEER_ACCURACY = (4.0, 1.5)  # Beta prior of how often one vote is right


def labels(size: int) -> list[str]:
    """A, B, C …: the names of the responses on the screen, in display order."""
    return [chr(ord("A") + place) for place in range(size)]


def is_source(name: str) -> bool:
    """Whether a name in a file is an origin of judgements, such as `dataset:hh-rlhf`."""
    return SOURCE.match(name) is not None


def canonical_ranks(ranking: Ranking, display_order: Sequence[int]) -> list[int]:
    """Rank of each response in canonical order: 1 = best, equal = tie (1, 2, 2, 4)."""
    ranks = [0] * len(display_order)
    better = 0
    for group in ranking:
        for label in group:
            ranks[display_order[ord(label) - ord("A")]] = better + 1
        better += len(group)
    return ranks


def shown_ranking(ranks: Sequence[int], display_order: Sequence[int]) -> list[list[str]]:
    """The inverse of `canonical_ranks`: groups of labels as they stood on the screen."""
    groups: dict[int, list[str]] = {}
    for label, position in zip(labels(len(ranks)), display_order, strict=True):
        groups.setdefault(ranks[position], []).append(label)
    return [groups[rank] for rank in sorted(groups)]


def standard_ranks(ranks: Sequence[int]) -> list[int]:
    """Any numbers that order responses, as ranks where a tie takes up its places (1, 2, 2, 4)."""
    ordered = sorted(ranks)
    return [1 + ordered.index(rank) for rank in ranks]


def require_ranking(ranking: Ranking, *, size: int, allow_ties: bool) -> None:
    """`Invalid` unless every shown label stands in exactly one group."""
    shown = labels(size)
    named = Counter(label for group in ranking for label in group)
    problem = None
    if unknown := sorted(set(named) - set(shown)):
        problem = f"There is no response {unknown[0]} in this task; it has {', '.join(shown)}."
    elif twice := [label for label in shown if named[label] > 1]:
        problem = f"Response {twice[0]} stands in the ranking twice."
    elif missing := [label for label in shown if label not in named]:
        problem = f"Response {missing[0]} is missing from the ranking. Rank all of them."
    elif not all(ranking):
        problem = "A place of the ranking is empty. Leave it out."
    elif not allow_ties and len(ranking) < size:
        problem = "This project does not allow ties. Decide which of the tied ones is better."
    if problem is not None:
        raise Invalid(problem, errors=[{"field": "ranking", "message": problem}])


def applicable_strength(
    strength: int | None, *, ranking: Ranking, size: int, levels: int
) -> int | None:
    """The strength of a decided pair, 1 … `levels`; `Invalid` where it does not apply."""
    problem = None
    is_tie = len(ranking) == 1
    if strength is None or (strength == 0 and is_tie):
        return None
    if size > 2:
        problem = "A strength belongs to a pair; this task has more responses. Leave it out."
    elif levels == 0:
        problem = "This project does not ask for a strength. Leave it out."
    elif is_tie:
        problem = "A tie has no strength. Leave it out, or say which one is better."
    elif not 1 <= strength <= levels:
        problem = f"The strength goes from 1 to {levels} in this project; {strength} is outside."
    if problem is not None:
        raise Invalid(problem, errors=[{"field": "strength", "message": problem}])
    return strength


def canonical_ratings(
    ratings: Mapping[str, Mapping[str, int]],
    *,
    criteria: Sequence[Mapping[str, Any]],
    display_order: Sequence[int],
) -> dict[str, list[int | None]]:
    """Value per canonical position, None where not rated; `Invalid` outside the criteria."""
    known = {criterion["key"]: criterion for criterion in criteria}
    by_position: dict[str, list[int | None]] = {}
    for key, values in ratings.items():
        if key not in known:
            _refuse_rating(f"This project has no criterion “{key}”.")
        low, high = known[key]["min"], known[key]["max"]
        if any(not low <= value <= high for value in values.values()):
            _refuse_rating(f"“{known[key]['label']}” is rated from {low} to {high}.")
        placed = positions(values, display_order=display_order)
        if placed:
            by_position[key] = [placed.get(place) for place in range(len(display_order))]
    return by_position


def _refuse_rating(problem: str) -> None:
    raise Invalid(problem, errors=[{"field": "ratings", "message": problem}])


def positions(by_label: Mapping[str, T], *, display_order: Sequence[int]) -> dict[int, T]:
    """Values by label as values by canonical position; `Invalid` for a label not shown."""
    places = dict(zip(labels(len(display_order)), display_order, strict=True))
    unknown = sorted(by_label.keys() - places.keys())
    if unknown:
        raise Invalid(
            f"There is no response {unknown[0]} in this task; it has {', '.join(places)}."
        )
    return {places[label]: value for label, value in by_label.items()}


def version_read(acknowledged: int, *, current: int) -> int:
    """The guidelines a judgement was made under: what its author read, not what is out by now.

    A program, or a project without a text, acknowledges nothing: the current one then.
    """
    return min(acknowledged, current) or current


def plausible_times(
    *, wall_ms: int, visible_ms: int | None, active_ms: int | None
) -> tuple[int | None, int | None]:
    """Times as a browser reports them, within what really passed: active ≤ visible ≤ wall."""
    visible = None if visible_ms is None else min(visible_ms, wall_ms)
    active = None if active_ms is None else min(active_ms, wall_ms if visible is None else visible)
    return visible, active


def leading_answer(ranks: Sequence[int]) -> int:
    """What a judgement says is best: the position of the one first response, or −1 for a tie."""
    first = [position for position, rank in enumerate(ranks) if rank == 1]
    return first[0] if len(first) == 1 else -1


def expected_accuracy(*, gold_seen: int, gold_passed: int) -> float:
    """Posterior mean of how often somebody is right, by her gold answers."""
    a, b = PEER_ACCURACY
    return (a + gold_passed) / (a + b + gold_seen)


def leading_posterior(votes: Sequence[tuple[int, float]], *, answers: int) -> float:
    """P(the leading answer is the right one) after (answer, accuracy) votes, flat prior.

    Each vote is right with its accuracy, else any of the other `answers` − 1 with equal chance.
    """
    if not votes:
        return 1 / answers
    options = {answer for answer, _ in votes}
    scores = [
        sum(
            log(accuracy if answer == option else (1 - accuracy) / (answers - 1))
            for answer, accuracy in votes
        )
        for option in options
    ]
    rest = answers - len(options)
    if rest > 0:
        scores += [sum(log((1 - accuracy) / (answers - 1)) for _, accuracy in votes)] * rest
    best = max(scores)
    return 1 / sum(exp(score - best) for score in scores)
