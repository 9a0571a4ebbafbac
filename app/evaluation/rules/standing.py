"""How a comparison of two models stands: the figures, the decision, and what they mean in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from app.evaluation.rules.length import LengthControlled, length_controlled
from app.evaluation.rules.sequence import (
    Decision,
    Sequence95,
    confidence_sequence,
    decision,
)
from app.evaluation.rules.winning import (
    Judged,
    Tally,
    by_judgement,
    by_prompt,
    by_tag,
    win_rate,
    with_equal_ones,
)
from app.quality.rules.intervals import Figure
from app.quality.rules.words import percent


@dataclass(frozen=True, slots=True)
class Names:
    """What A and B are called, and those who judge them."""

    a: str
    b: str
    judges: str = "People"


@dataclass(frozen=True, slots=True)
class Stream:
    """What the stopping rule sees: each prompt once, in the order in which they were complete.

    A prompt is complete with its `judgements`-th judgement. It counts as it stood then, so that
    nothing that comes later changes what was seen before.
    """

    scores: list[float]
    times: list[float]  # seconds since the epoch


def stream(said: Sequence[Sequence[tuple[float, float]]], *, judgements: int) -> Stream:
    """Of (time, score) of each prompt's judgements."""
    complete = []
    for given in said:
        if len(given) >= judgements:
            first = sorted(given)[:judgements]
            complete.append((first[-1][0], sum(score for _, score in first) / judgements))
    complete.sort(key=itemgetter(0))
    return Stream([score for _, score in complete], [at for at, _ in complete])


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that people's judgements say of A against B.

    win_rate: with the interval of a single look; low, high: true at every look, which decides.
    share and path are of the whole set of prompts, of which `equal` need no judge.
    """

    prompts: int  # that can be judged, the equal ones among them
    equal: int
    judged: int  # prompts that at least one person judged
    complete: int  # prompts that have all judgements that were asked for
    judgements: int
    judges: int
    win_rate: Figure
    low: float
    high: float
    prefers: int  # +1 A, −1 B, 0 neither (yet)
    decided: bool
    path: list[tuple[float, float, float, float]]  # by complete prompt: time, rate, low, high
    tally: Tally
    tally_of_judgements: Tally
    tags: list[tuple[str, int, Figure]]
    length: LengthControlled

    @property
    def is_complete(self) -> bool:
        return self.complete + self.equal >= self.prompts


def standing(
    said: Sequence[Sequence[tuple[float, float]]],
    about: Sequence[tuple[tuple[str, ...], float]],
    *,
    equal: int,
    judgements: int,
    judges: int,
    alpha: float,
    margin: float,
) -> Standing:
    """Of each prompt that can be judged: its judgements as (time, score), its tags and Δ length."""
    prompts = [
        Judged(tuple(score for _, score in sorted(given)), tags, longer)
        for given, (tags, longer) in zip(said, about, strict=True)
        if given
    ]
    total = len(said) + equal
    share = equal / total if total else 0.0
    seen = stream(said, judgements=judgements)
    sequence = confidence_sequence(seen.scores, alpha=alpha)
    # ½ of the whole is ½ of what is judged, but a margin is of the whole.
    made = decision(sequence, margin=margin / (1 - share) if share < 1 else 0.5)
    if share >= 1 and total:
        made = Decision(0, 0)
    low, high = _moved(sequence.last, share)
    return Standing(
        prompts=total,
        equal=equal,
        judged=len(prompts),
        complete=len(seen.scores),
        judgements=sum(len(one.said) for one in prompts),
        judges=judges,
        win_rate=win_rate(prompts, equal_share=share),
        low=low,
        high=high,
        prefers=made.prefers,
        decided=made.is_made,
        path=_path(seen, sequence, share),
        tally=by_prompt(prompts),
        tally_of_judgements=by_judgement(prompts),
        tags=by_tag(prompts),
        length=length_controlled(prompts),
    )


def _moved(bounds: tuple[float, float], share: float) -> tuple[float, float]:
    moved = with_equal_ones(Figure(None, *bounds), share=share)
    assert moved.low is not None
    assert moved.high is not None
    return moved.low, moved.high


def _path(
    seen: Stream, sequence: Sequence95, share: float
) -> list[tuple[float, float, float, float]]:
    path, total = [], 0.0
    for number, (at, score) in enumerate(zip(seen.times, seen.scores, strict=True), start=1):
        total += score
        bounds = float(sequence.low[number]), float(sequence.high[number])
        low, high = _moved(bounds, share)
        path.append((at, share / 2 + (1 - share) * total / number, low, high))
    return path


# -- in words ---------------------------------------------------------------------------------


def headline(found: Standing, names: Names) -> str:
    """Who is preferred, or why nobody can say."""
    a, b = names.a, names.b
    if found.prompts and found.equal == found.prompts:
        return f"{a} and {b} answered every prompt the same: there is nothing to judge."
    if not found.judged:
        return "Nobody has judged yet."
    rate = found.win_rate
    assert rate.value is not None
    turned = rate.value < 0.5
    first, second = (b, a) if turned else (a, b)
    value = 1 - rate.value if turned else rate.value
    bounds = chance = ""
    if rate.low is not None and rate.high is not None:
        low, high = (1 - rate.high, 1 - rate.low) if turned else (rate.low, rate.high)
        bounds = f" ({100 * low:.0f}–{100 * high:.0f})"
        chance = ", which may be chance" if low <= 0.5 else ""
    of = f"of {found.judged + found.equal:,} prompt{'s' if found.judged + found.equal > 1 else ''}"
    if value == 0.5:
        return f"{names.judges} find {a} and {b} equally good in {of.removeprefix('of ')}{bounds}."
    return f"{names.judges} prefer {first} over {second} in {percent(value)}{bounds} {of}{chance}."


def verdict_in_words(found: Standing, *, a: str, b: str) -> str:
    """Whether that is enough, and what is left to do."""
    if not found.judged:
        return ""
    if found.decided and found.prefers:
        winner = a if found.prefers > 0 else b
        return f"That is enough to say that {winner} is better, however often one has looked."
    if found.decided:
        return "That is enough to say that they are about equally good."
    between = f"between {percent(found.low)} and {percent(found.high)}"
    if found.is_complete:
        return (
            f"All that were asked for are judged, and it is not decided: for somebody who looks "
            f"all the time the win rate of {a} lies {between}. More prompts would tell."
        )
    left = found.prompts - found.equal - found.complete
    return (
        f"That is not enough yet: for somebody who looks all the time the win rate of {a} lies "
        f"{between}. {left:,} prompt{'s are' if left != 1 else ' is'} left to judge."
    )


def ties_in_words(found: Standing) -> str:
    """How ties and equal answers were counted."""
    parts = []
    if found.equal:
        same = "prompt has" if found.equal == 1 else "prompts have"
        parts.append(
            f"{found.equal:,} {same} the same answer from both and count as ties without work."
        )
    if found.tally_of_judgements.ties:
        parts.append("A tie is half a win.")
    return " ".join(parts)
