"""One look after the other at a policy's responses, compared with how it began.

A change counts that is beyond its limit and larger than chance makes it among so few responses,
of which those to the same prompt resemble each other.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from app.run_config import DpoConfig, MonitorSettings, PpoConfig
from app.trainer import losses
from app.trainer.monitors import signs

LEAST = 16  # prompts of an observation: fewer are put together with those of the next steps
CHANCE = 3.0  # standard errors that a change must exceed
CHANCE_OF_BEST = 5.0  # the same against the best of many observations, which was lucky too
TREND = 8  # observations of which a slope is taken
SMOOTH = 3  # observations of which the watched score is a mean: one batch says little


@dataclass(frozen=True)
class Seen:
    """Some responses at one moment, with what is known of them."""

    tokens: Sequence[Sequence[int]]
    texts: Sequence[str]
    way: float  # how far training has come: √KL (Gao et al. 2022), or steps where KL is unknown
    scores: Sequence[float]  # what is trained to rise
    members: Tensor | None = None  # (members, responses)
    watched: Sequence[float] | None = None  # by the model that is not trained on
    distances: Sequence[float] | None = None  # from the reward model's training data
    prompts: Sequence[Any] | None = None  # what each answers; None: no two the same


def joined(parts: Sequence[Seen]) -> Seen:
    """Several moments as one, which is dated by the last; what one of them lacks is left out."""

    def every(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if None in values else list(chain.from_iterable(values))

    members = [part.members for part in parts if part.members is not None]
    prompts = [
        (moment, prompt)
        for moment, part in enumerate(parts)
        for prompt in part.prompts or range(len(part.tokens))
    ]
    return Seen(
        every("tokens"),
        every("texts"),
        parts[-1].way,
        every("scores"),
        torch.cat(members, dim=1) if len(members) == len(parts) else None,
        every("watched"),
        every("distances"),
        prompts,
    )


@dataclass(frozen=True)
class Limit:
    """One monitor: how far beyond is too far, and what to tell people then."""

    name: str
    most: float | None
    value: float
    sentence: str
    chance: float = 0.0  # what so few responses may differ by although nothing has changed

    @property
    def is_beyond(self) -> bool:
        return self.most is not None and self.value > max(self.most, self.chance)


class Watch:
    """Remembers the first observation and the way since; all of it survives a resumption."""

    def __init__(self, config: PpoConfig | DpoConfig) -> None:
        self.config = config
        self.waiting: list[dict[str, Any]] = []  # moments with too few prompts to say something
        self.start: dict[str, float] = {}
        self.trail: list[list[float]] = []  # [way, score, watched score, prompts] of the last
        self.best = [float("-inf"), 0.0, 0.0]  # highest smoothed watched score, score, prompts
        self.beyond: dict[str, int] = {}  # observations in a row
        self.told: dict[str, str] = {}  # what has been said, by monitor

    @property
    def is_on(self) -> bool:
        return self.config.monitor_action != "off"

    @property
    def within(self) -> bool:
        """Whether what has been seen up to now was within every limit."""
        return not self.beyond and not self.waiting

    def observe(self, step: int, seen: Seen) -> tuple[dict[str, float], list[str]]:
        """Figures for the log, and a sentence for each monitor that has now been beyond too often.

        The first observation is what all later ones are compared with. A run that is to stop is
        told every time, for what has been said may have been a warning before it was resumed.
        """
        if not self.is_on or not seen.tokens:
            return {}, []
        self.waiting.append(vars(seen))
        seen = joined([Seen(**part) for part in self.waiting])
        now = figures_of(seen, self.config)
        if now["prompts"] < LEAST:
            return {}, []
        self.waiting = []
        self.start = self.start or now
        row = [seen.way, now["score"], now.get("watched", 0.0), now["prompts"]]
        self.trail = [*self.trail, row][-TREND:]
        limits = [limit for limit in self._limits(now) if limit.most is not None]
        self.beyond = {
            limit.name: self.beyond.get(limit.name, 0) + 1 for limit in limits if limit.is_beyond
        }
        again = self.config.monitor_action == "stop"
        fresh = [
            limit
            for limit in limits
            if self.beyond.get(limit.name, 0) >= self.config.monitor_patience
            and (again or limit.name not in self.told)
        ]
        for limit in fresh:
            self.told[limit.name] = f"Step {step}: {limit.sentence} {advice(self.config)}"
        return self._logged(now), [self.told[limit.name] for limit in fresh]

    def state(self) -> dict[str, Any]:
        names = ("waiting", "start", "trail", "best", "beyond", "told")
        return {name: getattr(self, name) for name in names}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where a checkpoint left off; one of an older version knows only what was told."""
        whole = "waiting" in state and (not state["start"] or "prompts" in state["start"])
        for name, value in state.items():
            if whole or name == "told":
                setattr(self, name, value)

    # -- what it means ------------------------------------------------------------------------

    def _limits(self, now: dict[str, float]) -> list[Limit]:
        config, start = self.config, self.start
        drift = self._drift(now)
        grown = "longer" if drift > 0 else "shorter"
        rise = now["repetition"] - start["repetition"]
        lost = 1 - now["distinct"] / start["distinct"]
        refused = now["refusals"] - start["refusals"]
        each = 1 / start["prompts"] + 1 / now["prompts"]
        refusing = statistics.fmean((start["refusals"], now["refusals"]))
        found = [
            Limit(
                "length",
                config.monitor_max_length_drift,
                abs(drift),
                f"responses have become {grown}: {now['length']:.3g} tokens instead of "
                f"{start['length']:.3g}, {abs(drift):.3g} deviations. What it learns from may pay "
                "for length rather than for what is said.",
                CHANCE * self._error(now, "length") / self._deviation,
            ),
            Limit(
                "repetition",
                config.monitor_max_repetition,
                rise,
                f"responses repeat themselves: {now['repetition']:.0%} of their groups of three "
                f"tokens, {start['repetition']:.0%} at the start.",
                CHANCE * self._error(now, "repetition"),
            ),
            Limit(
                "sameness",
                config.monitor_max_sameness,
                lost,
                f"responses have become alike: {now['distinct']:.0%} of all groups of three tokens "
                f"are different ones, {start['distinct']:.0%} at the start.",
            ),
            Limit(
                "refusals",
                config.monitor_max_refusals,
                refused,
                f"{now['refusals']:.0%} of the responses refuse, {start['refusals']:.0%} at the "
                "start.",
                CHANCE * math.sqrt(refusing * (1 - refusing) * each),
            ),
        ]
        if start.get("disagreement") and "disagreement" in now:
            times = now["disagreement"] / start["disagreement"]
            found.append(
                Limit(
                    "disagreement",
                    config.monitor_max_disagreement,
                    times,
                    f"the members of the ensemble disagree {times:.1f} times as much as at the "
                    "start: they no longer know these responses.",
                )
            )
        if "distance" in now and "distance" in start:
            times = now["distance"] / max(1.0, start["distance"])
            found.append(
                Limit(
                    "distance",
                    config.monitor_max_distance,
                    times,
                    f"responses are {now['distance']:.1f} times as far from the reward model's "
                    "training data as unseen responses of that data: its scores are guesses.",
                )
            )
        if "watched" in now and "watched" in start:
            found.append(self._watched())
        return found

    @property
    def _deviation(self) -> float:
        return max(self.start["length_std"], 1.0)  # all of one length: count tokens

    def _drift(self, now: dict[str, float]) -> float:
        return (now["length"] - self.start["length"]) / self._deviation

    def _error(self, now: dict[str, float], name: str) -> float:
        """Standard error of the difference between the means of now and of the start."""
        return math.hypot(self.start[f"{name}_error"], now[f"{name}_error"])

    def _watched(self) -> Limit:
        """The watched model's mean score against its best, while the trained score has risen."""
        recent = self.trail[-SMOOTH:]
        score, watched = (statistics.fmean(row[k] for row in recent) for k in (1, 2))
        count = sum(row[3] for row in recent)
        if watched >= self.best[0]:
            self.best = [watched, score, count]
        fall = (self.best[0] - watched) / max(self.start["watched_std"], 1e-6)
        risen = score > self.best[1]
        return Limit(
            "watched",
            self.config.monitor_max_gold_drop,
            fall if risen else 0.0,
            f"the score still rises, but the watched reward model's has fallen by {fall:.3g} "
            "deviations from its best: the reward is being gamed.",
            CHANCE_OF_BEST * math.sqrt(1 / count + 1 / self.best[2]),
        )

    def _logged(self, now: dict[str, float]) -> dict[str, float]:
        known = ("repetition", "distinct", "refusals", "disagreement", "distance")
        named = {name: now[name] for name in known if name in now}
        named["length_drift"] = self._drift(now)
        recent = self.trail
        way = [row[0] for row in recent]

        def trend(column: int, deviation: float) -> float:
            return signs.slope(way, [row[column] / (deviation or 1.0) for row in recent])

        if len(recent) > 1:
            named["score_slope"] = trend(1, self.start["score_std"])
        if "watched" in now:
            named["watched_score"] = now["watched"]
            if len(recent) > 1 and "watched" in self.start:
                named["watched_slope"] = trend(2, self.start["watched_std"])
        return {f"monitor/{name}": value for name, value in named.items()}


def figures_of(seen: Seen, config: MonitorSettings) -> dict[str, float]:
    """One observation in numbers; what is not known is left out."""
    lengths = [len(response) for response in seen.tokens]
    repeated = signs.repeated(seen.tokens)
    refused = [signs.refuses(text, config.monitor_refusals) for text in seen.texts]
    prompts = seen.prompts or range(len(lengths))
    found = {
        "prompts": float(len(set(prompts))),
        "length": statistics.fmean(lengths),
        "length_std": statistics.pstdev(lengths),
        "length_error": signs.error_of_mean(lengths, prompts),
        "repetition": statistics.fmean(repeated),
        "repetition_error": signs.error_of_mean(repeated, prompts),
        "distinct": signs.distinct(seen.tokens),
        "refusals": sum(refused) / len(refused),
        "score": statistics.fmean(seen.scores) if seen.scores else 0.0,
        "score_std": statistics.pstdev(seen.scores) if seen.scores else 0.0,
    }
    if seen.members is not None and len(seen.members) > 1:
        found["disagreement"] = signs.disagreement(seen.members)
    if seen.watched is not None:
        found["watched"] = statistics.fmean(seen.watched)
        found["watched_std"] = statistics.pstdev(seen.watched)
    if seen.distances is not None:
        found["distance"] = statistics.fmean(seen.distances)
    return found


def advice(config: PpoConfig | DpoConfig) -> str:
    """What holds a policy closer to its start."""
    rate = f"lower learning_rate (now {config.learning_rate:g})"
    if isinstance(config, PpoConfig):
        if config.kl_target:
            return f"Lower kl_target (now {config.kl_target:g}), or {rate}."
        return f"Raise kl_coef (now {config.kl_coef:g}), or {rate}."
    if config.loss_type in losses.REFERENCE_FREE:
        return f"{rate.capitalize()}."
    return f"Raise beta (now {config.beta:g}), or {rate}."
