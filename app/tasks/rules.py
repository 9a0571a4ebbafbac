"""Gold, the schedule that mixes it in, repeats, lanes, display order and leases: pure rules."""

import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Literal

Pair = tuple[int, int]
Verdict = Literal["good", "warned", "failed"]
Entry = Literal["now", "wait", "over"]

FEWEST_RESPONSES, MOST_RESPONSES = 2, 10  # of a task
MOST_COUNTED = 32_000  # judgements that count of one task; the counters are small integers

PRIOR = (4.0, 1.5)  # Beta prior of an annotator's accuracy on gold
WARN_ABOVE, FAIL_ABOVE = 0.80, 0.95  # P(accuracy < threshold)
FEWEST_GOLD = 5  # nobody fails on less

DENSE_CLAIMS = 25  # gold is denser among a person's first tasks …
DENSE_FACTOR = 4  # … by this factor
LARGEST_SHARE = 0.5

# A task of hers comes again when as many others lie between …
FEWEST_BETWEEN = 20
REPEAT_SPAN = 200  # … or up to so many more: nobody knows how far back it comes from
REPEAT_DENSE_CLAIMS = 100  # repeats are denser until then, so that a person is soon known …
REPEAT_DENSE_FACTOR = 2  # … by this factor

RE_ASK_CHANCE = 0.12  # that the next task is one to be judged again under changed guidelines

MAX_RENEWALS = 20  # WCAG 2.2.1 asks for at least ten


def is_expired(leased_until: datetime, *, now: datetime) -> bool:
    return leased_until <= now


def shuffled(size: int, *, rng: Random) -> list[int]:
    """A display order: the canonical position of the response at each place of the screen."""
    return rng.sample(range(size), size)


def gold_chance(claimed: int, *, rate: float, share: float | None = None) -> float:
    """Probability that the next task is gold, for somebody who was handed `claimed` so far.

    Every claim is a draw of its own, so that the past tells nothing about the next one. `share`
    is the person's own rate where she has one; it may be of a time when the project's was lower.
    """
    own = max(rate, share or 0.0)
    return min(LARGEST_SHARE, own * DENSE_FACTOR if claimed < DENSE_CLAIMS else own)


def repeat_chance(claimed: int, *, rate: float) -> float:
    """Probability that the next task is one that she has judged before."""
    if claimed <= FEWEST_BETWEEN:
        return 0.0
    return rate * REPEAT_DENSE_FACTOR if claimed <= REPEAT_DENSE_CLAIMS else rate


def repeat_distance(claimed: int, *, rng: Random) -> int:
    """How many of her submissions lie between a task and its coming again, at least."""
    return FEWEST_BETWEEN + rng.randrange(min(REPEAT_SPAN, max(1, claimed - FEWEST_BETWEEN)))


def re_ask_chance(claimed: int, *, waiting: int) -> float:
    """Probability that the next task is one of a re-asked sample, where some of hers wait.

    Every claim draws for itself, however many wait, so that neither their number nor the day on
    which it began can be told from what she gets; a dozen take her about a hundred tasks.
    """
    return RE_ASK_CHANCE if waiting > 0 and claimed > FEWEST_BETWEEN else 0.0


def lane(*, language: str, expertise: Sequence[str]) -> str:
    """The key of what a task asks of its judges; empty where it asks nothing."""
    if not language and not expertise:
        return ""
    return json.dumps([language, *sorted(expertise)], ensure_ascii=False)


def share_limit(percent: int, *, wanted: int) -> int:
    """How many of the project's judgements one person may give; never nothing at all."""
    return max(1, percent * wanted // 100)


def raised_share(rate: float) -> float:
    """The gold share of somebody whose gold answers are in doubt."""
    return min(LARGEST_SHARE, max(2 * rate, 0.2))


def is_consistent(
    size: int, *, prefers: Iterable[Sequence[int]], equal: Iterable[Sequence[int]] = ()
) -> bool:
    """Whether some weak order of `size` responses satisfies the key: no cycle of preferences.

    Responses that must tie are one node; a preference inside a node is a cycle as well.
    """
    node = list(range(size))

    def root(i: int) -> int:
        while node[i] != i:
            i = node[i]
        return i

    for i, j in equal:
        node[root(i)] = root(j)
    worse: dict[int, set[int]] = {i: set() for i in range(size)}
    for i, j in prefers:
        worse[root(i)].add(root(j))
    above = {i: sum(i in below for below in worse.values()) for i in worse}
    free = [i for i, count in above.items() if count == 0]
    settled = 0
    while free:
        settled += 1
        for j in worse[free.pop()]:
            above[j] -= 1
            if above[j] == 0:
                free.append(j)
    return settled == size


def circle(
    size: int, *, prefers: Iterable[Sequence[int]], equal: Iterable[Sequence[int]] = ()
) -> list[tuple[int, int]]:
    """Preferences of an inconsistent key that lead round to where they began; [] where none do."""
    group = {place: {place} for place in range(size)}
    for i, j in equal:
        joined = group[i] | group[j]
        group |= dict.fromkeys(joined, joined)
    pairs = [(i, j) for i, j in prefers]

    def back(path: list[tuple[int, int]]) -> list[tuple[int, int]]:
        if path[0][0] in group[path[-1][1]]:
            return path
        steps = [pair for pair in pairs if pair[0] in group[path[-1][1]] and pair not in path]
        return next(filter(None, (back([*path, pair]) for pair in steps)), [])

    return next(filter(None, (back([pair]) for pair in pairs)), [])


def satisfies(
    ranks: Sequence[int],
    *,
    prefers: Iterable[Sequence[int]],
    equal: Iterable[Sequence[int]] = (),
    ties_allowed: bool = False,
) -> bool:
    """Whether a judgement agrees with a gold key; responses it does not name are free."""
    return all(
        ranks[i] < ranks[j] or (ties_allowed and ranks[i] == ranks[j]) for i, j in prefers
    ) and all(ranks[i] == ranks[j] for i, j in equal)


def order_of_key(
    size: int, *, prefers: Iterable[Sequence[int]], equal: Iterable[Sequence[int]] = ()
) -> list[list[int]] | None:
    """The one order that a consistent key allows, groups best first; None where it allows more."""
    group = {place: {place} for place in range(size)}
    for i, j in equal:
        joined = group[i] | group[j]
        group |= dict.fromkeys(joined, joined)
    better = {(min(group[i]), min(group[j])) for i, j in prefers}
    groups = {min(each): sorted(each) for each in group.values()}
    order: list[list[int]] = []
    while groups:
        free = [name for name in groups if not any((other, name) in better for other in groups)]
        if len(free) != 1:
            return None
        order.append(groups.pop(free[0]))
    return order


def needed_right(size: int, *, share: float) -> int:
    """How many right answers of `size` reach the share; rounding errors cost nobody a question."""
    return max(1, math.ceil(share * size - 1e-9))


def entry(
    number: int,
    *,
    allowed: int,
    granted: int,
    last_ended: datetime | None,
    wait: timedelta,
    now: datetime,
) -> Entry:
    """Whether a person may begin her attempt of that number; one that was granted never waits."""
    if number <= granted:
        return "now"
    if number > allowed:
        return "over"
    return "wait" if last_ended is not None and now < last_ended + wait else "now"


def standing(*, seen: int, passed: int, threshold: float) -> Verdict:
    """What `passed` of `seen` gold answers say: Beta posterior of accuracy under `PRIOR`."""
    a, b = PRIOR[0] + passed, PRIOR[1] + seen - passed
    p_below = beta_cdf(threshold, a, b)
    if seen >= FEWEST_GOLD and p_below > FAIL_ABOVE:
        return "failed"
    return "warned" if p_below > WARN_ABOVE else "good"


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b): the distribution function of Beta(a, b)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below the mean only
        return 1 - beta_cdf(1 - x, b, a)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return math.exp(log_front) * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b) by Lentz's method (DLMF 8.17.22)."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            d = 1 / _nonzero(1 + numerator * d)
            c = _nonzero(1 + numerator / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
