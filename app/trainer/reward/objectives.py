"""What a reward model minimises: comparisons, and the ratings where it has heads for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.run_config import RewardConfig
from app.trainer import losses
from app.trainer.batches import Example
from app.trainer.reward.ratings import Scale


def weight_of(example: Example, config: RewardConfig) -> float:
    """What its comparisons weigh; nothing where there are only ratings."""
    if not example.row.ranks:
        return 0.0
    return example.row.weight if config.use_weights else 1.0


def by_example(examples: Sequence[Example], scores: Tensor) -> list[tuple[Example, Tensor]]:
    """Cut scores, which run over all responses, into those of each example."""
    parts = scores.split([len(example.responses) for example in examples], dim=0)
    return list(zip(examples, parts, strict=True))


def task_loss(example: Example, scores: Tensor, config: RewardConfig) -> Tensor:
    """Weighted loss of one task: the mean over its pairs (InstructGPT eq. 1), or Plackett–Luce.

    `(…, responses)` → `(…,)`: the members of an ensemble are counted at once.
    """
    row = example.row
    pairs = losses.comparisons_of(row.ranks, ties=config.ranking_ties)
    if not pairs:
        return scores.sum(-1) * 0.0
    first = scores[..., [i for i, _, _ in pairs]]
    second = scores[..., [j for _, j, _ in pairs]]
    if config.ranking_loss == "plackett_luce" and len(row.ranks) > 2:
        loss = losses.plackett_luce(scores, row.ranks, ties=config.ranking_ties)
    else:
        p = scores.new_tensor([p for _, _, p in pairs])
        if len(row.ranks) == 2 and config.soft_labels:
            p = p * row.p if row.p != 1.0 else p
        margin = row.margin if config.use_margin else 0.0
        loss = losses.bradley_terry(first - second, p=p, margin=margin).mean(-1)
    if config.center_rewards_coefficient:  # arXiv 2312.09244, eq. 2
        loss = loss + config.center_rewards_coefficient * ((first + second) ** 2).mean(-1)
    return weight_of(example, config) * loss


@dataclass(frozen=True)
class Shares:
    """What each row of a batch counts for each member, and what the whole batch weighs."""

    counts: Tensor  # (members, rows): how often a row counts
    comparisons: Tensor  # (members,)
    ratings: Tensor  # (members, criteria)

    @classmethod
    def of(
        cls, batch: Sequence[Example], counts: Tensor, scale: Scale, config: RewardConfig
    ) -> "Shares":
        weights = counts.new_tensor([weight_of(example, config) for example in batch])
        rated = counts.new_zeros(len(batch), len(scale.means))
        for i, example in enumerate(batch if scale.means else ()):
            wanted, raters = scale.targets(example)
            rated[i] = (~wanted.isnan() * raters[:, None]).sum(0).to(counts)
        return cls(counts, some(counts @ weights), some(counts @ rated))


def some(weights: Tensor) -> Tensor:
    """Where a batch weighs nothing its sum is 0 as well, and may be divided by anything."""
    return torch.where(weights > 0, weights, 1.0)


def losses_of(
    example: Example, heads: Tensor, place: int, shares: Shares, scale: Scale, config: RewardConfig
) -> tuple[Tensor, Tensor]:
    """The share of one task in the mean over its batch → comparisons, ratings: `(members,)` each.

    `heads` are all outputs for its responses, `(members, responses, heads)`, the preference first.
    Ratings count as squared errors in standard deviations, averaged over the criteria.
    """
    counts = shares.counts[:, place]
    compared = counts * task_loss(example, heads[..., 0], config) / shares.comparisons
    if not example.row.ratings:
        return compared, torch.zeros_like(compared)
    wanted, raters = scale.targets(example, heads.device)
    errors = losses.rating_error(heads[..., 1:], wanted, raters) / shares.ratings
    return compared, counts * errors.mean(-1)
