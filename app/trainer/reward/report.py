"""How good a finished reward model is: everything that result.json says under `evaluation`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from app.trainer import losses
from app.trainer.chat import readable
from app.trainer.reward import measures
from app.trainer.reward.evaluating import (
    Judged,
    apart,
    claims,
    differs,
    short,
    ties_among_votes,
    votes_for_better,
)
from app.trainer.reward.measures import Figure
from app.trainer.reward.ratings import Scale

AGREEMENT = ("up to 60 %", "60–75 %", "75–90 %", "over 90 %")
WORST = 12  # texts in result.json; worst.jsonl has more
LONGEST = 2000  # characters of a text there


@dataclass(frozen=True)
class Pair:
    """A strict pair of the test split, and what the model says of it."""

    task: int
    judged: Judged
    better: int
    worse: int
    delta: float  # of the members' mean
    spread: float  # deviation over the members
    differs: bool  # whether members put it in other orders

    @property
    def right(self) -> float:
        return 0.5 if self.delta == 0 else float(self.delta > 0)

    @property
    def longer(self) -> float:
        """Whether the better one is longer; equal lengths are one half."""
        lengths = self.judged.lengths
        a, b = lengths[self.better], lengths[self.worse]
        return 0.5 if a == b else float(a > b)

    @property
    def votes(self) -> int:
        return self.judged.example.row.votes

    @property
    def share(self) -> float:
        """Of the votes for the better one."""
        return votes_for_better(self.judged.example)

    @property
    def ties(self) -> float:
        """Of the votes, for neither."""
        return ties_among_votes(self.judged.example)


def pairs_of(judged: Sequence[Judged]) -> list[Pair]:
    found = []
    for number, task in enumerate(judged):
        deltas = apart(task)
        other = differs(deltas).tolist()
        strict = losses.comparisons_of(task.example.row.ranks, ties="drop")
        for row, (i, j, _) in enumerate(strict):
            delta, spread = deltas[row].mean(), deltas[row].std(correction=0)
            found.append(Pair(number, task, i, j, float(delta), float(spread), other[row]))
    return found


def evaluation(judged: Sequence[Judged], scale: Scale, criteria: Sequence[str]) -> dict[str, Any]:
    """Accuracy and where it fails, against people and against length; nothing without pairs."""
    pairs = pairs_of(judged)
    if not pairs:
        return {}
    right, tasks = [pair.right for pair in pairs], [pair.task for pair in pairs]
    ranked = [task for task in judged if task.example.row.ranks]
    found: dict[str, Any] = {
        "tasks": len(set(tasks)),
        "accuracy": measures.share(right, tasks),
        "baseline": baseline(pairs),
        "people": people(pairs),
        "calibration": measures.calibration(*claims(judged)),
        "by_agreement": by_agreement(pairs),
        "by_strength": by_strength(pairs),
        "by_length": by_length(pairs),
        "length": measures.within(
            [task.preference.tolist() for task in ranked], [task.lengths for task in ranked]
        ),
    }
    if judged[0].members.shape[1] > 1:
        found["ensemble"] = ensemble(judged, pairs)
    if criteria:
        found["criteria"] = rated(judged, scale, criteria)
    found["worst"] = worst(pairs)[:WORST]
    return measures.as_mapping(found)


def baseline(pairs: Sequence[Pair]) -> Figure:
    """The better of the rules "the longer wins" and "the shorter wins", and the gain over it."""
    longer, tasks = [pair.longer for pair in pairs], [pair.task for pair in pairs]
    rule = "longer" if sum(longer) >= len(longer) / 2 else "shorter"
    guessed = longer if rule == "longer" else [1 - value for value in longer]
    gained = measures.gain([pair.right for pair in pairs], guessed, tasks)
    return {"rule": rule, **measures.share(guessed, tasks), "gain": gained}


def people(pairs: Sequence[Pair]) -> Figure | None:
    """How far people agree where two or more voted, and how many of their votes the model takes."""
    voted = [pair for pair in pairs if pair.votes > 1]
    if not voted:
        return None
    taken = [0.5 + (pair.right - 0.5) * (2 * pair.share - 1) for pair in voted]
    shares, votes, ties = zip(*((pair.share, pair.votes, pair.ties) for pair in voted), strict=True)
    return {
        **measures.ceiling(shares, votes, ties),
        "model": measures.share(taken, [pair.task for pair in voted]),
    }


def by_agreement(pairs: Sequence[Pair]) -> list[Figure]:
    """Accuracy where few and where many of the votes say the same."""

    def name(pair: Pair) -> str | None:
        agreed = pair.judged.example.row.agreement
        if agreed is None or pair.votes < 2:
            return None
        return AGREEMENT[sum(agreed > limit + 1e-9 for limit in (0.6, 0.75, 0.9))]

    return _parts(pairs, [name(pair) for pair in pairs], AGREEMENT)


def by_strength(pairs: Sequence[Pair]) -> list[Figure]:
    """Accuracy by how much better people found it; in rankings, by the places between the two."""
    strengths = [pair.judged.example.row.strength for pair in pairs]
    if any(strength is not None for strength in strengths):
        near = [None if s is None else min(9, int(abs(s) + 0.5)) for s in strengths]  # half: up
        names = [None if n is None else f"strength {n}" if n else "hardly" for n in near]
        order = ["hardly", *(f"strength {n}" for n in range(1, 10))]
        return _parts(pairs, names, order)
    if all(len(pair.judged.example.responses) == 2 for pair in pairs):
        return []
    between = []
    for pair in pairs:
        places = sorted(set(pair.judged.example.row.ranks))
        ranks = pair.judged.example.row.ranks
        between.append(places.index(ranks[pair.worse]) - places.index(ranks[pair.better]))
    names = [_places(n) for n in between]
    return _parts(pairs, names, [_places(n) for n in range(1, max(between) + 1)])


def _places(number: int) -> str:
    return f"{number} place{'s' if number > 1 else ''} apart"


def by_length(pairs: Sequence[Pair]) -> list[Figure]:
    """Accuracy where the better one is the longer, and where the shorter: alike, if unbiased."""
    names = {1.0: "the longer is better", 0.0: "the shorter is better", 0.5: "equally long"}
    return _parts(pairs, [names[pair.longer] for pair in pairs], tuple(names.values()))


def _parts(
    pairs: Sequence[Pair], names: Sequence[str | None], order: Sequence[str]
) -> list[Figure]:
    right, tasks = [pair.right for pair in pairs], [pair.task for pair in pairs]
    return measures.parts(names, right, tasks, order)


def ensemble(judged: Sequence[Judged], pairs: Sequence[Pair]) -> dict[str, Any]:
    """How far the members disagree, and whether they do so where they are wrong."""
    deltas = torch.cat([apart(task) for task in judged])
    alone = ((deltas > 0).double() + 0.5 * (deltas == 0)).mean(0)
    thirds = measures.thirds([pair.spread for pair in pairs])
    names = ("least disagreement", "middle", "most disagreement")
    return {
        "members": deltas.shape[1],
        "alone": [float(accuracy) for accuracy in alone],
        "disagreement": sum(pair.spread for pair in pairs) / len(pairs),
        "differ": measures.share([float(p.differs) for p in pairs], [p.task for p in pairs]),
        "thirds": _parts(pairs, [names[third] for third in thirds], names),
    }


def rated(judged: Sequence[Judged], scale: Scale, criteria: Sequence[str]) -> list[Figure]:
    """Errors of each criterion in its own units, beside those of always saying the mean."""
    found = []
    for c, name in enumerate(criteria):
        said, true = [], []
        for task in judged:
            for i, means in enumerate(task.example.row.ratings):
                if (value := means[c]) is not None:
                    outputs = task.heads[i].mean(0)[1:]
                    said.append(float(outputs[c]) * scale.stds[c] + scale.means[c])
                    true.append(value)
        if not true:
            continue
        errors = [(a - b) ** 2 for a, b in zip(said, true, strict=True)]
        plain = [(scale.means[c] - b) ** 2 for b in true]
        found.append(
            {
                "name": name,
                "n": len(true),
                "rmse": (sum(errors) / len(errors)) ** 0.5,
                "mean_rmse": (sum(plain) / len(plain)) ** 0.5,
                "correlation": measures.correlation(said, true),
            }
        )
    return found


def worst(pairs: Sequence[Pair], most: int = 50) -> list[dict[str, Any]]:
    """The most confident mistakes, one of a task: `{prompt, responses}` with the better one first.

    Such lines can be imported, so that people look at them again.
    """
    found: dict[int, dict[str, Any]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.delta):
        if pair.delta >= 0 or len(found) == most:
            break
        row = pair.judged.example.row
        texts = [_text(row.replies[i]) for i in (pair.better, pair.worse)]
        told: dict[str, Any] = {
            "prompt": readable(row.prompt)[:LONGEST],
            "responses": [text[:LONGEST] for text in texts],
            "scores": [short(pair.judged.preference[i]) for i in (pair.better, pair.worse)],
            "where": row.where,
        }
        if pair.votes:
            told |= {"votes": pair.votes, "share": short(pair.share)}
        if pair.spread:
            told["spread"] = short(pair.spread)
        found.setdefault(pair.task, told)
    return list(found.values())


def _text(reply: Any) -> str:
    return "\n\n".join(message["content"] for message in reply)
