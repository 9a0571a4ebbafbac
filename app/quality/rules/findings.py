"""What about a person deserves a look, in plain words: the only place where figures become blame.

A test becomes a finding where it survives Benjamini and Hochberg over the people, is nearly sure
for her alone, and the effect is large enough to matter; a small sure effect is only a figure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from app.quality.rules.significance import FALSE_SHARE, benjamini_hochberg
from app.quality.rules.words import percent

SURE = 0.005  # in a crowd of few, Benjamini and Hochberg alone would let too much through
LEAST_SIDE = 0.05  # off one half, of the side that is preferred
LEAST_LONGER = 0.10  # above the others on the same tasks
LEAST_TIES = 0.15  # above the others on the same tasks
LEAST_FALL = 0.12  # of agreement with peers, over time or at some hours
ALONE_LONGER = 0.85  # of her lower bound, where nobody else has judged her tasks
LEAST_FAST = 1 / 3  # of her lower bound of answers faster than reading …
FAST_ABOVE_OTHERS = 0.2  # … and so far above the others', who may skim as well
MANY_THE_SAME = 0.5  # of her rationales
VERY_FAST = -3.0  # robust z of her median answer
NEARER_TO_A_COIN = 0.16  # about a standard error below halfway from a coin to the others
FEWEST_SHARED = 20
FEWEST_GOLD, FEWEST_REPEATS = 8, 10  # before gold or repeats can speak for somebody
MANY_RIGHT = 0.6  # lower bound of gold accuracy that speaks for her
MANY_SAME = 0.6  # lower bound of self-consistency that does

Figures = Mapping[str, Any]


class Level(StrEnum):
    """How much a finding speaks against the labels; `info` explains and blames nobody."""

    BAD = "bad"
    WARN = "warn"
    INFO = "info"


class Kind(StrEnum):
    """What was found."""

    GOLD = "gold"
    PEERS = "peers"
    MINORITY = "minority"
    SELF = "self"
    POSITION = "position"
    STREAK = "streak"
    WORDS = "words"
    LENGTH = "length"
    TIES = "ties"
    SPEED = "speed"
    DRIFT = "drift"
    HOURS = "hours"


ORDER = list(Kind)
WEIGHT: Mapping[str, int] = {Level.BAD: 100, Level.WARN: 10, Level.INFO: 1}


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One person: the wire form of her figures, and how she does on gold."""

    figures: Figures
    standing: str
    gold_seen: int
    gold_passed: int
    gold_low: float | None  # lower bound of her accuracy
    threshold: float


def findings_of(people: Sequence[Evidence]) -> list[list[Finding]]:
    """Of each person, the gravest first. All people of a project at once: tests are many."""
    gold_seen = sum(person.gold_seen for person in people)
    gold_passed = sum(person.gold_passed for person in people)
    found: list[list[Finding]] = [
        [_gold(person)] if person.standing in {"failed", "warned"} else [] for person in people
    ]
    for p_value_of, finding_of in TESTS:
        adjusted = benjamini_hochberg([p_value_of(person.figures) for person in people])
        for place, (person, p_value) in enumerate(zip(people, adjusted, strict=True)):
            own = p_value_of(person.figures)
            sure = p_value is not None and p_value <= FALSE_SHARE and own is not None
            if sure and own is not None and own <= SURE and (each := finding_of(person.figures)):
                found[place].append(each)
    for place, person in enumerate(people):
        found[place] += [each for look in UNTESTED if (each := look(person.figures))]
        rest = (gold_seen - person.gold_seen, gold_passed - person.gold_passed)
        found[place] = sorted(
            _fair(found[place], person, rest),
            key=lambda each: (-WEIGHT[each.level], ORDER.index(each.kind)),
        )
    return found


def need(levels: Iterable[str]) -> int:
    """How much somebody with findings of these levels needs a look; the more, the sooner."""
    return sum(WEIGHT[level] for level in levels)


def _gold(person: Evidence) -> Finding:
    failed = person.standing == "failed"
    return Finding(
        Kind.GOLD,
        Level.BAD if failed else Level.WARN,
        f"Passes {person.gold_passed} of {person.gold_seen} gold questions: "
        f"{'almost surely' if failed else 'probably'} below {percent(person.threshold)}.",
    )


def _peers(figures: Figures) -> Finding | None:
    """Against single others more often than they are, and nearer to a coin than to them."""
    peers = figures["peer_agreement"]
    if peers["p_value"] is None or peers["p_value"] > NEARER_TO_A_COIN:
        return None
    return Finding(
        Kind.PEERS,
        Level.BAD,
        f"Prefers what the others prefer in {percent(peers['value'])} of tasks (n = {peers['n']}, "
        f"chance 50 %); the others among themselves in {percent(peers['others'])}.",
    )


def _fair(findings: list[Finding], person: Evidence, rest: tuple[int, int]) -> list[Finding]:
    """Nobody is blamed for differing whom gold, or her own steadiness, speaks for.

    Unless a habit explains why she differs: then it is no opinion.
    """
    explained = {*Kind} - {Kind.PEERS, Kind.SELF, Kind.TIES}
    kinds = {each.kind for each in findings}
    if Kind.PEERS not in kinds or kinds & explained:
        return findings
    peers, again = person.figures["peer_agreement"], person.figures["self_consistency"]
    differs = (
        f"Differs from the others (prefers the same in {percent(peers['value'])}, they in "
        f"{percent(peers['others'])})"
    )
    text = None
    if person.gold_seen >= FEWEST_GOLD and (person.gold_low or 0) >= MANY_RIGHT:
        beside = f"; the others {percent(rest[1] / rest[0])} of theirs" if rest[0] else ""
        text = (
            f"{differs}, but passes gold: {person.gold_passed} of {person.gold_seen}{beside}. "
            "She may see what they miss: look at the tasks before you blame anybody."
        )
    elif person.gold_seen < FEWEST_GOLD and (
        again["n"] >= FEWEST_REPEATS and (again["low"] or 0) >= MANY_SAME
    ):
        text = (
            f"{differs}, but with herself she agrees in {percent(again['value'])} of tasks that "
            "came again. Gold questions would tell whether she or they are right."
        )
    if text is None:
        return findings
    kept = [each for each in findings if each.kind is not Kind.PEERS]
    return [*kept, Finding(Kind.MINORITY, Level.INFO, text)]


def _self(figures: Figures) -> Finding:
    again = figures["self_consistency"]
    return Finding(
        Kind.SELF,
        Level.BAD,
        f"Says the same in {percent(again['value'])} of tasks that came again (n = {again['n']}); "
        f"the others in {percent(again['others'])}.",
    )


def _position(figures: Figures) -> Finding | None:
    bias = figures["position_bias"]
    share, where = bias["value"], "first"
    if share < 0.5:
        share, where = 1 - share, "last"
    if share < 0.5 + LEAST_SIDE:
        return None
    return Finding(
        Kind.POSITION,
        Level.BAD if share >= 0.65 else Level.WARN,
        f"Picks the {where} shown in {percent(share)} of decisive answers (n = {bias['n']}, "
        "chance 50 %).",
    )


def _streak(figures: Figures) -> Finding | None:
    sides, bias = figures["sides"], figures["position_bias"]
    if abs(bias["value"] - 0.5) >= LEAST_SIDE and bias["p_value"] <= SURE:
        return None  # said already, by her side
    if sides["switch_share"] > 0.6:
        return Finding(
            Kind.STREAK,
            Level.WARN,
            f"Changes the side after {percent(sides['switch_share'])} of her answers (chance "
            "50 %), as if in turn.",
        )
    return Finding(
        Kind.STREAK,
        Level.WARN,
        f"Picked the same side {sides['longest']} times in a row (of {sides['n']} answers; the "
        "order on screen is random).",
    )


def _words(figures: Figures) -> Finding | None:
    same = figures["same_rationale"]
    if same["n"] < FEWEST_SHARED or same["value"] < MANY_THE_SAME:
        return None
    if same["others"] is not None and same["value"] - same["others"] < MANY_THE_SAME / 2:
        return None  # it is the custom of the project
    beside = "" if same["others"] is None else f"; the others in {percent(same['others'])}"
    return Finding(
        Kind.WORDS,
        Level.WARN,
        f"Gives one and the same rationale in {percent(same['value'])} of {same['n']}{beside}.",
    )


def _length(figures: Figures) -> Finding | None:
    longer = figures["length_against_others"]
    if longer["value"] - longer["others"] < LEAST_LONGER:
        return None
    return Finding(
        Kind.LENGTH,
        Level.WARN,
        f"Prefers the longer response in {percent(longer['value'])} of decisive answers "
        f"(n = {longer['n']}); the others on the same tasks in {percent(longer['others'])}.",
    )


def _alone(figures: Figures) -> Finding | None:
    """Length where there is nobody to compare her with: only what is hard to explain otherwise."""
    longer = figures["length_bias"]
    if figures["length_against_others"]["n"] or longer["value"] is None:
        return None
    if longer["n"] < FEWEST_SHARED or longer["low"] < ALONE_LONGER:
        return None
    return Finding(
        Kind.LENGTH,
        Level.INFO,
        f"Prefers the longer response in {percent(longer['value'])} of decisive answers "
        f"(n = {longer['n']}). Nobody else judged these tasks: look at some of them.",
    )


def _ties(figures: Figures) -> Finding | None:
    ties = figures["ties_against_others"]
    if ties["value"] - ties["others"] < LEAST_TIES:
        return None
    return Finding(
        Kind.TIES,
        Level.WARN,
        f"Answers with a tie in {percent(ties['value'])} of tasks (n = {ties['n']}); the others "
        f"on the same tasks in {percent(ties['others'])}.",
    )


def _speed(figures: Figures) -> Finding | None:
    pace, seconds = figures["pace"], figures["seconds_per_task"]
    below, z = pace["below_reading_speed"], pace["z"]["value"]
    others = pace["others"] or 0.0
    if (
        below["value"] is not None
        and below["low"] >= LEAST_FAST
        and below["value"] - others >= FAST_ABOVE_OTHERS
        and pace["n"] >= FEWEST_SHARED
    ):
        text = (
            f"Answers faster than the responses can be read in {percent(below['value'])} of tasks "
            f"(n = {pace['n']}, 30 characters a second); the others in {percent(others)}."
        )
        return Finding(Kind.SPEED, Level.BAD, text)
    if z is not None and z < VERY_FAST:
        text = (
            f"Takes {seconds['value']:.1f} s for a task in the middle, far less than the others "
            f"(robust z = {z:.1f})."
        )
        return Finding(Kind.SPEED, Level.BAD, text)
    return None


def _drift(figures: Figures) -> Finding | None:
    change = figures["drift"]
    if change["outside"] - change["inside"] < LEAST_FALL:
        return None
    day = datetime.fromtimestamp(change["since"], UTC)
    return Finding(
        Kind.DRIFT,
        Level.WARN,
        f"Agreement with the others fell from {percent(change['outside'])} to "
        f"{percent(change['inside'])} on {day.day} {day:%B} {day.year} "
        f"(n = {change['n_inside']} since).",
    )


def _hours(figures: Figures) -> Finding | None:
    change = figures["hours"]
    if change["outside"] - change["inside"] < LEAST_FALL:
        return None
    return Finding(
        Kind.HOURS,
        Level.WARN,
        f"Agrees with the others less from {clock(change['since'])} to {clock(change['until'])} "
        f"UTC: {percent(change['inside'])} (n = {change['n_inside']}) against "
        f"{percent(change['outside'])} at other hours.",
    )


def clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}"


def _p(name: str) -> Callable[[Figures], float | None]:
    def p_value(figures: Figures) -> float | None:
        value: float | None = figures[name]["p_value"]
        return value

    return p_value


TESTS: Sequence[tuple[Callable[[Figures], float | None], Callable[[Figures], Finding | None]]] = (
    (_p("dissent"), _peers),
    (_p("self_consistency"), _self),
    (_p("position_bias"), _position),
    (_p("sides"), _streak),
    (_p("length_against_others"), _length),
    (_p("ties_against_others"), _ties),
    (_p("drift"), _drift),
    (_p("hours"), _hours),
)
UNTESTED: Sequence[Callable[[Figures], Finding | None]] = (_speed, _alone, _words)
