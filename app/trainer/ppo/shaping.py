"""From scores to what the update learns from: penalise → advantages, and the price of KL."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.run_config import PpoConfig
from app.trainer import losses
from app.trainer.judges import aggregate
from app.trainer.ppo.episodes import Episode


@dataclass
class Shaping:
    """How scores become rewards; `kl_coef` moves when it adapts.

    Each member of an ensemble has a scale of its own.
    """

    kl_coef: float
    mean: list[float] = field(default_factory=lambda: [0.0])
    std: list[float] = field(default_factory=lambda: [1.0])


def shaped_scores(episodes: Sequence[Episode], shaping: Shaping, config: PpoConfig) -> Tensor:
    """Scores on the wanted scale, clipped, less a penalty for never ending: `(episodes,)`."""
    members = torch.tensor([e.members or (e.score,) for e in episodes]).T
    mean, std = (torch.tensor(x).reshape(-1, 1) for x in (shaping.mean, shaping.std))
    members = (members - mean) / std
    scores = aggregate(members, config.reward_aggregation, config.reward_uncertainty_coef)
    if config.score_clip:
        scores = scores.clamp(-config.score_clip, config.score_clip)
    if config.missing_eos_penalty is not None:
        unfinished = torch.tensor([not e.ended for e in episodes])
        scores = scores - config.missing_eos_penalty * unfinished
    return scores


def penalise(scores: Tensor, kl: Tensor, lengths: Tensor, paid_at: Tensor, coef: float) -> Tensor:
    """Rewards: -coef · kl for each action, and the score where it is paid.

    `(episodes,)`, `(episodes, time)`, `(episodes,)` actions and places → `(episodes, time)`.
    """
    time_ = torch.arange(kl.shape[1])
    rewards = torch.where(time_ < lengths[:, None], -coef * kl, torch.zeros_like(kl))
    rewards[torch.arange(len(scores)), paid_at] += scores
    return rewards


def objective(episodes: Sequence[Episode], shaping: Shaping, config: PpoConfig) -> dict[str, float]:
    """What the policy is worth before the update, under TRL's names; KL in nats per response."""
    count = len(episodes)
    kl = sum(e.kl for e in episodes) / count
    priced = [
        float(losses.kl_per_token(e.logps, e.ref_logps, config.kl_estimator).sum())
        for e in episodes
    ]
    non_score = -shaping.kl_coef * sum(priced) / count if config.priced_in_reward else 0.0
    shaped = shaped_scores(episodes, shaping, config)
    return {
        "objective/scores": sum(e.score for e in episodes) / count,
        "objective/rlhf_reward": float(shaped.mean()) + non_score,
        "objective/non_score_reward": non_score,
        "objective/kl": kl,
        "objective/kl_exact": sum(e.drift for e in episodes) / count,
        "objective/kl_coef": shaping.kl_coef,
        "objective/entropy": -sum(float(e.logps.sum()) for e in episodes) / count,
        "policy/entropy_avg": sum(e.entropy * e.actions for e in episodes)
        / sum(e.actions for e in episodes),
        "tokens/response_length": sum(e.actions for e in episodes) / count,
        "val/num_eos_tokens": float(sum(e.ended for e in episodes)),
    }


# -- advantages -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Targets:
    """What the update aims at, all `(episodes, time)`; 0 where a mask is."""

    logps: Tensor
    ref_logps: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    actions: Tensor  # mask of tokens that were chosen
    valued: Tensor  # mask of states whose value is trained


def targets_of(episodes: Sequence[Episode], shaping: Shaping, config: PpoConfig) -> Targets:
    """Rewards, advantages and returns of a batch of episodes."""
    lengths = torch.tensor([e.actions for e in episodes])
    states = torch.tensor([e.values.numel() for e in episodes])
    width = int(states.max())
    grid = torch.arange(width)
    actions, valued = grid < lengths[:, None], grid < states[:, None]
    logps = as_grid([e.logps for e in episodes], width)
    ref_logps = as_grid([e.ref_logps for e in episodes], width)
    scores = shaped_scores(episodes, shaping, config)
    kl = losses.kl_per_token(logps, ref_logps, config.kl_estimator)
    if config.algorithm != "ppo":
        advantages = sequence_advantages(scores, (kl * actions).sum(1), shaping.kl_coef, config)
        advantages, empty = advantages[:, None] * actions, torch.zeros_like(logps)
        return Targets(logps, ref_logps, empty, advantages, empty, actions, empty > 0)
    values = as_grid([e.values for e in episodes], width)
    rewards = penalise(scores, kl, lengths, states - 1, shaping.kl_coef)
    if config.whiten_rewards:
        rewards = losses.whiten(rewards, valued, shift_mean=False)
    advantages, returns = losses.gae(rewards, values, gamma=config.gamma, lam=config.lam)
    if config.whiten_advantages:
        advantages = losses.whiten(advantages, actions)
    return Targets(
        logps, ref_logps, values, advantages * actions, returns * valued, actions, valued
    )


def sequence_advantages(scores: Tensor, kl: Tensor, coef: float, config: PpoConfig) -> Tensor:
    """Advantages of whole responses, from the others to the same prompt: `(episodes,)`.

    `kl` is summed over each response, and priced here unless it is a term of the loss.
    """
    rewards = scores - coef * kl if config.priced_in_reward else scores
    if config.algorithm == "rloo":
        return losses.leave_one_out(rewards, config.group)
    return losses.group_advantages(rewards, config.group, scale=config.scale_rewards)


def as_grid(rows: Sequence[Tensor], width: int) -> Tensor:
    """Rows of different length, filled with 0: `(rows, width)`."""
    grid = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        grid[i, : row.numel()] = row
    return grid


def adapt(shaping: Shaping, config: PpoConfig, kl: float, episodes: int) -> None:
    """Move the price of KL towards its target, where one is set."""
    if config.kl_target:
        shaping.kl_coef = losses.adapted_kl_coef(
            shaping.kl_coef,
            kl,
            target=config.kl_target,
            horizon=config.kl_horizon,
            episodes=episodes,
        )
