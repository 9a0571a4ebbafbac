"""PPO, RLOO and GRPO said a second time: 64 bit, one response at a time, loops over the formulas.

Nothing of `app.trainer` computes here; only its settings and episodes are read.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.run_config import PpoConfig


@dataclass
class Plain:
    """The models in 64 bit, without packing, sharing or masks: each text goes through alone."""

    policy: Any
    reference: Any
    value: Any  # a sequence classifier, or a linear head on the policy, or None
    config: PpoConfig
    shared: bool = False

    @classmethod
    def of(cls, play: Any) -> "Plain":
        bare = copy.deepcopy(play.updater.bare).double()
        value = bare.value.model if bare.value is not None else bare.head
        reference = copy.deepcopy(play.reference or bare.policy).double()
        if play.reference is None:
            reference = reference.unload()  # the policy without its adapter
        return cls(bare.policy, reference, value, play.config, shared=bare.value is None)

    def trained(self) -> list[Tensor]:
        every = [*self.policy.parameters(), *self.value.parameters()]
        return [weights for weights in every if weights.requires_grad]

    def logps(self, lm: Any, prompt: tuple, response: tuple) -> Tensor:
        """Log π(token) of each token of the response at the sampling temperature."""
        ids = torch.tensor([[*prompt, *response]])
        table = (lm(input_ids=ids).logits[0] / self.config.temperature).log_softmax(-1)
        start = len(prompt)
        return torch.stack([table[start + t - 1, token] for t, token in enumerate(response)])

    def values(self, prompt: tuple, response: tuple) -> Tensor:
        """The value of the state before each token of the response."""
        ids = torch.tensor([[*prompt, *response]])
        if self.shared:
            states = core(self.policy).model(input_ids=ids).last_hidden_state[0]
            every = self.value(states).squeeze(-1)
        else:
            value = core(self.value)
            trunk = getattr(value, value.base_model_prefix)
            every = value.score(trunk(input_ids=ids).last_hidden_state[0]).squeeze(-1)
        return every[len(prompt) - 1 : -1]


def core(model: Any) -> Any:
    """The model that an adapter sits in."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def kl(logps: np.ndarray, ref: np.ndarray, estimator: str) -> np.ndarray:
    if estimator == "k1":
        return logps - ref
    return np.exp(ref - logps) - 1 - (ref - logps)


def whitened(rows: list[np.ndarray], *, shift: bool = True) -> list[np.ndarray]:
    every = np.concatenate(rows)
    mean, std = every.mean(), every.std(ddof=1)
    return [(row - mean) / std + (0 if shift else mean) for row in rows]


@dataclass
class Aims:
    """What the update aims at, row by row."""

    advantages: list[np.ndarray]
    returns: list[np.ndarray] = field(default_factory=list)


def scores(
    episodes: list[Any], means: list[float], stds: list[float], config: PpoConfig
) -> list[float]:
    """What the members say, each on its own scale, as one, less the price of never ending."""
    found = []
    for e in episodes:
        each = [(x - mean) / std for x, mean, std in zip(e.members, means, stds, strict=True)]
        score = min(each) if config.reward_aggregation == "worst" else np.mean(each)
        if config.reward_aggregation == "lower_bound":
            score -= config.reward_uncertainty_coef * np.std(each)
        found.append(float(score) - (config.missing_eos_penalty or 0.0) * (not e.ended))
    return found


def ppo_aims(episodes: list[Any], scores: list[float], coef: float, config: PpoConfig) -> Aims:
    rewards = []
    for e, score in zip(episodes, scores, strict=True):
        logps, ref = e.logps.double().numpy(), e.ref_logps.double().numpy()
        row = np.zeros(len(e.values))
        row[: len(logps)] = -coef * kl(logps, ref, config.kl_estimator)
        row[-1] += score
        rewards.append(row)
    if config.whiten_rewards:
        rewards = whitened(rewards, shift=False)
    advantages, returns = [], []
    for e, row in zip(episodes, rewards, strict=True):
        values = e.values.double().numpy()
        deltas = row + config.gamma * np.append(values[1:], 0.0) - values
        decay = config.gamma * config.lam
        own = np.array(
            [
                sum(decay**k * deltas[t + k] for k in range(len(deltas) - t))
                for t in range(len(deltas))
            ]
        )
        returns.append(own + values)
        advantages.append(own[: e.actions])
    if config.whiten_advantages:
        advantages = whitened(advantages)
    return Aims(advantages, returns)


def group_aims(episodes: list[Any], scores: list[float], coef: float, config: PpoConfig) -> Aims:
    """Advantages of whole responses; a group is `config.group` episodes in a row."""
    rewards = []
    for e, score in zip(episodes, scores, strict=True):
        logps, ref = e.logps.double().numpy(), e.ref_logps.double().numpy()
        priced = config.algorithm == "rloo" or not config.kl_in_loss
        rewards.append(score - priced * coef * kl(logps, ref, config.kl_estimator).sum())
    advantages = []
    for i, e in enumerate(episodes):
        first = i // config.group * config.group
        group = rewards[first : first + config.group]
        if config.algorithm == "rloo":
            others = [r for k, r in enumerate(group) if first + k != i]
            own = rewards[i] - sum(others) / len(others)
        else:
            own = rewards[i] - sum(group) / len(group)
            if config.scale_rewards == "group":
                own /= np.std(group, ddof=1) + 1e-4
            elif config.scale_rewards == "batch":
                own /= np.std(rewards, ddof=1) + 1e-4
        advantages.append(np.full(e.actions, own))
    return Aims(advantages)


def loss(
    plain: Plain, episodes: list[Any], aims: Aims, config: PpoConfig, coef: float
) -> dict[str, Tensor]:
    """Policy, value and KL loss of one batch with the policy as it is now, with gradients."""
    total = sum(e.actions for e in episodes)
    states = sum(len(e.values) for e in episodes)
    zero = torch.zeros((), dtype=torch.float64)
    policy, value, penalty, clipped = zero, zero, zero, zero
    for i, e in enumerate(episodes):
        prompt, response = e.example.prompt, e.example.responses[0]
        old = e.logps.double()
        logps = plain.logps(plain.policy, prompt, response)
        advantages = torch.tensor(aims.advantages[i])
        if config.algorithm == "rloo":
            ratio = torch.exp(logps.sum() - old.sum())
            free, cut = -advantages[0] * ratio, -advantages[0] * ratio.clamp(0.8, 1.2)
            policy = policy + torch.maximum(free, cut) / len(episodes)
            clipped = clipped + (cut > free) / len(episodes)
            continue
        ratio = torch.exp(logps - old)
        free, cut = -advantages * ratio, -advantages * ratio.clamp(0.8, 1.2)
        share = 1 / total
        if config.algorithm == "grpo" and config.loss_type == "grpo":
            share = 1 / len(response) / len(episodes)
        elif config.algorithm == "grpo" and config.loss_type == "dr_grpo":
            share = 1 / config.response_length / len(episodes)
        policy = policy + share * torch.maximum(free, cut).sum()
        clipped = clipped + (cut > free).sum() / total
        if config.algorithm == "grpo" and config.kl_in_loss:
            gap = e.ref_logps.double() - logps
            penalty = penalty + coef * share * (torch.exp(gap) - 1 - gap).sum()
        if config.algorithm == "ppo":
            extra = len(e.values) - e.actions  # the place behind the end, with reward_position=trl
            now = plain.values(prompt, (*response, *[0] * extra))
            before, aim = e.values.double(), torch.tensor(aims.returns[i])
            near = before + (now - before).clamp(-config.cliprange_value, config.cliprange_value)
            value = value + 0.5 * torch.maximum((now - aim) ** 2, (near - aim) ** 2).sum() / states
    return {"policy": policy, "value": value, "kl": penalty, "clipped": clipped}


def update(
    plain: Plain,
    episodes: list[Any],
    aims: Aims,
    config: PpoConfig,
    coef: float,
    batches: Iterable[Sequence[int]],
) -> dict[str, float]:
    """One step of AdamW on `plain` for each mini-batch → figures, as means over the steps."""
    trained = plain.trained()
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (config.adam_beta1, config.adam_beta2)
    adam = torch.optim.AdamW(groups, config.learning_rate, betas, config.adam_epsilon)
    steps = []
    for own in batches:
        part = Aims([aims.advantages[i] for i in own], [aims.returns[i] for i in own])
        losses = loss(plain, [episodes[i] for i in own], part, config, coef)
        adam.zero_grad()
        (losses["policy"] + config.vf_coef * losses["value"]).backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        adam.step()
        steps.append({name: x.item() for name, x in losses.items()} | {"norm": norm.item()})
    return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}
