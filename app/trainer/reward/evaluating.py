"""What the reward model says of the test split: figures for the log, samples for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from app.run_config import RewardConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import Example, Forward
from app.trainer.chat import ChatFormat, readable
from app.trainer.processes import read
from app.trainer.reward.measures import calibration, within
from app.trainer.reward.members import Members
from app.trainer.reward.objectives import task_loss, weight_of
from app.trainer.reward.ratings import Scale


@dataclass(frozen=True)
class Judged:
    """A task with all outputs for its responses: `(responses, members, heads)`, on the CPU."""

    example: Example
    heads: Tensor

    @property
    def members(self) -> Tensor:
        """The preference of each member: `(responses, members)`."""
        return self.heads[..., 0]

    @property
    def preference(self) -> Tensor:
        """The same, the members averaged: `(responses,)`."""
        return self.members.mean(-1)

    @property
    def lengths(self) -> list[int]:
        """Characters of each response."""
        return lengths_of(self.example)


def judge(
    members: Members, examples: Sequence[Example], forward: Forward, accelerator: Accelerator
) -> list[Judged]:
    """Every response of every example, scored by every member."""
    outputs = partial(models.outputs_of, members, forward=forward)
    said = read(accelerator, examples, forward, outputs)
    return [Judged(example, heads) for example, heads in zip(examples, said, strict=True)]


def figures(
    judged: Sequence[Judged], config: RewardConfig, scale: Scale, about: Any
) -> dict[str, float]:
    """Figures for the log; `about` is the model's config, which says what its score is made of."""
    if not judged:
        return {}
    sums: dict[str, Any] = dict.fromkeys(("right", "margin", "pairs", "longer"), 0.0)
    loss = weight = 0.0
    for task in judged:
        loss += float(task_loss(task.example, task.preference, config))
        weight += weight_of(task.example, config)
        add_figures(sums, task.example, task.preference)
        sums["longer"] += longer_wins(task.example)
    found = {"eval_loss": loss / weight if weight else 0.0, **score_scale(judged, about)}
    found["eval_pairs"] = float(sums["pairs"])
    if sums["pairs"]:
        found |= {f"eval_{k}": float(v) for k, v in pair_figures(sums).items()}
        found["eval_longer_wins"] = sums["longer"] / sums["pairs"]
        found["eval_calibration_error"] = calibration(*claims(judged))["ece"]
    ranked = [task for task in judged if task.example.row.ranks]
    lengths = within([t.preference.tolist() for t in ranked], [t.lengths for t in ranked])
    if lengths["pearson"] is not None:
        found["eval_length_correlation"] = lengths["pearson"]
    if config.ensemble_size > 1 and sums["pairs"]:
        found |= disagreement(judged)
    if scale.means and (error := rating_loss(judged, scale)) is not None:
        found["eval_ratings_loss"] = error
    return found


def score_scale(judged: Sequence[Judged], about: Any) -> dict[str, float]:
    """Mean and deviation of the score, the members averaged, over all responses."""
    mean, std = mean_and_std(scores_of(judged, about).mean(-1))
    return {"eval_score_mean": mean, "eval_score_std": std}


def scores_of(judged: Sequence[Judged], about: Any) -> Tensor:
    """What each member says of all responses: `(responses, members)`."""
    return torch.cat([models.score_of(task.heads, about) for task in judged])


def mean_and_std(scores: Tensor) -> tuple[float, float]:
    """Of scores that are all alike the deviation is 1, so that they can be divided by it."""
    return float(scores.mean()), float(scores.std(correction=0)) or 1.0


def claims(judged: Sequence[Judged]) -> tuple[list[float], list[float]]:
    """Score differences and the shares of votes that they claim; ties of people are one half."""
    deltas, labels = [], []
    for task in judged:
        row, scores = task.example.row, task.preference
        for i, j, p in losses.comparisons_of(row.ranks):
            deltas.append(float(scores[i] - scores[j]))
            labels.append(p if p != 1.0 else votes_for_better(task.example))
    return deltas, labels


def votes_for_better(example: Example) -> float:
    """Share of the votes that a strict pair of this task rests on, 1 where nobody said.

    A ranking only says its agreement, which is the mean over its pairs.
    """
    row = example.row
    if len(row.ranks) == 2 and row.p != 1.0:
        return row.p
    return row.agreement if row.agreement is not None and row.votes > 1 else 1.0


def ties_among_votes(example: Example) -> float:
    """Share of the votes on a pair that are ties: what p has beyond the wins, twice.

    0 where that makes no whole votes: p may be how likely people are to prefer it (Dawid & Skene).
    """
    row = example.row
    if len(row.ranks) != 2 or row.p == 1.0 or row.agreement is None:
        return 0.0
    share = 2 * (row.p - row.agreement)
    number = share * row.votes
    whole = abs(number - round(number)) < 1e-3 and -1e-6 < share < 2 * (1 - row.p) + 1e-6
    return share if whole else 0.0


def disagreement(judged: Sequence[Judged]) -> dict[str, float]:
    """How far members are apart on strict pairs: deviation of Δ, and share with other winners."""
    deltas = torch.cat([apart(task) for task in judged])  # a task of ties alone has none
    return {
        "eval_disagreement": float(deltas.std(-1, correction=0).mean()),
        "eval_members_differ": float(differs(deltas).float().mean()),
    }


def apart(task: Judged) -> Tensor:
    """Score of the better less that of the worse response of each strict pair, by member."""
    pairs = losses.comparisons_of(task.example.row.ranks, ties="drop")
    return task.members[[i for i, _, _ in pairs]] - task.members[[j for _, j, _ in pairs]]


def differs(deltas: Tensor) -> Tensor:
    """Whether some member puts a pair the other way round: `(pairs, members)` → `(pairs,)`."""
    return (deltas > 0).any(-1) & (deltas < 0).any(-1)


def rating_loss(judged: Sequence[Judged], scale: Scale) -> float | None:
    """Squared error of the ratings in standard deviations; 1 is no knowledge.

    The mean over the criteria that somebody rated, as in training: each counts alike.
    """
    error = weight = torch.zeros(len(scale.means))
    for task in judged:
        if task.example.row.ratings:
            wanted, raters = scale.targets(task.example)
            error = error + losses.rating_error(task.heads.mean(1)[:, 1:], wanted, raters)
            weight = weight + (~wanted.isnan() * raters[:, None]).sum(0)
    rated = weight > 0
    return float((error[rated] / weight[rated]).mean()) if rated.any() else None


# -- pairs ------------------------------------------------------------------------------------


def add_figures(sums: dict[str, Any], example: Example, scores: Tensor) -> None:
    """Count right pairs (equal scores are half right) over the strict pairs of a task.

    `(…, responses)`: of an ensemble the mean over its members.
    """
    pairs = losses.comparisons_of(example.row.ranks, ties="drop")
    if not pairs:
        return
    delta = scores[..., [i for i, _, _ in pairs]] - scores[..., [j for _, j, _ in pairs]]
    members = delta.numel() / len(pairs)
    sums["right"] += ((delta > 0).float() + 0.5 * (delta == 0)).sum() / members
    sums["margin"] += delta.sum() / members
    sums["pairs"] += len(pairs)


def pair_figures(totals: dict[str, float]) -> dict[str, float]:
    """Accuracy and margin; left out where a batch has ties alone."""
    if not totals["pairs"]:
        return {}
    return {
        "accuracy": totals["right"] / totals["pairs"],
        "margin": totals["margin"] / totals["pairs"],
    }


def lengths_of(example: Example) -> list[int]:
    return [sum(len(m["content"]) for m in reply) for reply in example.row.replies]


def longer_wins(example: Example) -> float:
    """How many strict pairs the rule "the longer text wins" gets right (equal: one half)."""
    lengths, right = lengths_of(example), 0.0
    for i, j, _ in losses.comparisons_of(example.row.ranks, ties="drop"):
        right += 0.5 if lengths[i] == lengths[j] else float(lengths[i] > lengths[j])
    return right


def sample(task: Judged, chat: ChatFormat, scale: Scale, criteria: Sequence[str]) -> dict[str, Any]:
    """One sample row: the best-ranked response with its score, beside all with theirs."""
    row, scores = task.example.row, task.preference
    best = min(range(len(row.ranks)), key=lambda i: row.ranks[i])
    responses: list[dict[str, Any]] = []
    for i, tokens in enumerate(task.example.responses):
        said: dict[str, Any] = {"response": chat.decode(tokens), "score": short(scores[i])}
        if task.members.shape[1] > 1:
            said["spread"] = short(task.members[i].std(correction=0))
        if criteria:
            said["ratings"] = scale.in_words(task.heads[i].mean(0)[1:], criteria)
        responses.append(said | {"rank": row.ranks[i]})
    return {
        "prompt": readable(row.prompt),
        "response": responses[best]["response"],
        "score": responses[best]["score"],
        "responses": responses,
    }


def short(value: Any) -> float:
    return round(float(value), 4)
