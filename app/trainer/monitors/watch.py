"""One look after the other at a policy's responses, compared with how it began."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from app.run_config import MonitorSettings
from app.trainer.monitors import signs

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


@dataclass(frozen=True)
class Limit:
    """One monitor: how far beyond is too far, and what to tell people then."""

    name: str
    most: float | None
    value: float
    sentence: str

    @property
    def is_beyond(self) -> bool:
        return self.most is not None and self.value > self.most


class Watch:
    """Remembers the first observation and the way since; all of it survives a resumption."""

    def __init__(self, config: MonitorSettings) -> None:
        self.config = config
        self.start: dict[str, float] = {}
        self.trail: list[list[float]] = []  # [way, score, watched score] of each observation
        self.best = [float("-inf"), 0.0]  # highest smoothed watched score, and the score then
        self.beyond: dict[str, int] = {}  # observations in a row
        self.told: dict[str, str] = {}  # what has been said, by monitor

    @property
    def is_on(self) -> bool:
        return self.config.monitor_action != "off"

    @property
    def within(self) -> bool:
        """Whether the last observation was within every limit."""
        return not self.beyond

    def observe(self, step: int, seen: Seen) -> tuple[dict[str, float], list[str]]:
        """Figures for the log, and a sentence for each monitor that has now been beyond too often.

        The first observation is what all later ones are compared with.
        """
        if not self.is_on or not seen.tokens:
            return {}, []
        now = figures_of(seen, self.config)
        self.start = self.start or now
        self.trail.append([seen.way, now["score"], now.get("watched", 0.0)])
        limits = [limit for limit in self._limits(now) if limit.most is not None]
        self.beyond = {
            limit.name: self.beyond.get(limit.name, 0) + 1 for limit in limits if limit.is_beyond
        }
        fresh = [
            limit
            for limit in limits
            if self.beyond.get(limit.name, 0) >= self.config.monitor_patience
            and limit.name not in self.told
        ]
        for limit in fresh:
            self.told[limit.name] = f"Step {step}: {limit.sentence}"
        return self._logged(now), [self.told[limit.name] for limit in fresh]

    def state(self) -> dict[str, Any]:
        names = ("start", "trail", "best", "beyond", "told")
        return {name: getattr(self, name) for name in names}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    # -- what it means ------------------------------------------------------------------------

    def _limits(self, now: dict[str, float]) -> list[Limit]:
        config, start = self.config, self.start
        drift = self._drift(now)
        grown = "longer" if drift > 0 else "shorter"
        rise = now["repetition"] - start["repetition"]
        lost = 1 - now["distinct"] / start["distinct"]
        refused = now["refusals"] - start["refusals"]
        found = [
            Limit(
                "length",
                config.monitor_max_length_drift,
                abs(drift),
                f"responses have become {grown}: {now['length']:.0f} tokens instead of "
                f"{start['length']:.0f}, {abs(drift):.1f} deviations. The score may pay for length "
                "rather than for what is said.",
            ),
            Limit(
                "repetition",
                config.monitor_max_repetition,
                rise,
                f"responses repeat themselves: {now['repetition']:.0%} of their groups of three "
                f"tokens, {start['repetition']:.0%} at the start.",
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
            ),
        ]
        if start.get("disagreement"):
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
        if "distance" in now:
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
        if "watched" in now:
            found.append(self._watched())
        return found

    def _drift(self, now: dict[str, float]) -> float:
        deviation = max(self.start["length_std"], 1.0)  # all of one length: count tokens
        return (now["length"] - self.start["length"]) / deviation

    def _watched(self) -> Limit:
        """The watched model's mean score against its best, while the trained score has risen."""
        recent = self.trail[-SMOOTH:]
        score, watched = (statistics.fmean(row[k] for row in recent) for k in (1, 2))
        if watched >= self.best[0]:
            self.best = [watched, score]
        fall = (self.best[0] - watched) / max(self.start["watched_std"], 1e-6)
        risen = score > self.best[1]
        return Limit(
            "watched",
            self.config.monitor_max_gold_drop,
            fall if risen else 0.0,
            f"the score still rises, but the watched reward model's has fallen by {fall:.2f} "
            "deviations from its best: the reward is being gamed.",
        )

    def _logged(self, now: dict[str, float]) -> dict[str, float]:
        known = ("repetition", "distinct", "refusals", "disagreement", "distance")
        named = {name: now[name] for name in known if name in now}
        named["length_drift"] = self._drift(now)
        recent = self.trail[-TREND:]
        way = [row[0] for row in recent]

        def trend(column: int, deviation: float) -> float:
            return signs.slope(way, [row[column] / (deviation or 1.0) for row in recent])

        if len(recent) > 1:
            named["score_slope"] = trend(1, self.start["score_std"])
        if "watched" in now:
            named["watched_score"] = now["watched"]
            if len(recent) > 1:
                named["watched_slope"] = trend(2, self.start["watched_std"])
        return {f"monitor/{name}": value for name, value in named.items()}


def figures_of(seen: Seen, config: MonitorSettings) -> dict[str, float]:
    """One observation in numbers; what is not known is left out."""
    lengths = [len(response) for response in seen.tokens]
    refused = [signs.refuses(text, config.monitor_refusals) for text in seen.texts]
    found = {
        "length": statistics.fmean(lengths),
        "length_std": statistics.pstdev(lengths),
        "repetition": signs.repetition(seen.tokens),
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
