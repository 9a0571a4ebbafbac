"""The update: epochs of clipped policy and value loss over the episodes of one batch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from app.run_config import PpoConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import (
    Example,
    Forward,
    lay_out,
)
from app.trainer.optimization import Updater
from app.trainer.ppo.episodes import Episode, PolicyAndValue
from app.trainer.ppo.shaping import Shaping, Targets, targets_of
from app.trainer.rollout import noise_seed


def update(
    episodes: Sequence[Episode],
    shaping: Shaping,
    config: PpoConfig,
    updater: Updater,
    forward: Forward,
    step: int,
) -> dict[str, float]:
    """Some epochs of clipped policy and value steps over the episodes → figures for the log."""
    device = updater.accelerator.device
    targets = targets_of(episodes, shaping, config)
    on_device = Targets(**{name: grid.to(device) for name, grid in vars(targets).items()})
    seen = [
        replace(e.example, responses=(e.example.responses[0] + (0,) * extra,))
        for e in episodes
        for extra in [e.values.numel() - e.actions]
    ]
    size = len(episodes) // config.num_mini_batches
    rounds = config.num_ppo_epochs * config.num_mini_batches
    gathered: dict[str, float] = {}
    for epoch in range(config.num_ppo_epochs):
        generator = torch.Generator().manual_seed(noise_seed(config.seed, 3, step, epoch))
        order = torch.randperm(len(episodes), generator=generator).tolist()
        for start in range(0, size * config.num_mini_batches, size):
            last_size = len(episodes) - start
            is_last = start + size >= size * config.num_mini_batches
            chosen = order[start : start + (last_size if is_last else size)]
            figures = mini_batch(seen, chosen, on_device, config, updater, forward)
            last = epoch == config.num_ppo_epochs - 1 and is_last
            figures |= updater.step(step, figures["loss"], advance=last)
            for name, value in figures.items():
                gathered[name] = gathered.get(name, 0.0) + value / rounds
    return gathered


def mini_batch(
    seen: Sequence[Example],
    chosen: Sequence[int],
    targets: Targets,
    config: PpoConfig,
    updater: Updater,
    forward: Forward,
) -> dict[str, float]:
    """Gradients of one mini-batch; every action and every state counts the same."""
    device = updater.accelerator.device
    at = torch.tensor(chosen, device=device)
    actions, states = targets.actions[at].sum(), targets.valued[at].sum()
    names = ("policy", "value", "ratio", "ratio2", "approxkl", "clipped", "value_clipped")
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    batch = [seen[i] for i in chosen]
    for examples, places, scale in updater.pieces(batch, forward):
        layout = lay_out(examples, packed=forward.packed).to(device)
        with models.autocast(device, bf16=forward.bf16):
            logits, values = updater.model(layout)
        rows = torch.tensor([chosen[i] for i in places], device=device)[layout.owners]
        cells = (rows, layout.columns)
        acted, valued = targets.actions[cells], targets.valued[cells]
        logps = losses.logps_of(logits.float() / config.temperature, layout.targets)
        logps = torch.where(acted, logps, targets.logps[cells])
        policy, ratio, clipped = losses.ppo_policy(
            logps, targets.logps[cells], targets.advantages[cells], config.cliprange
        )
        value, value_clipped = losses.ppo_value(
            values, targets.values[cells], targets.returns[cells], config.cliprange_value
        )
        policy_loss = (policy * acted).sum() / actions
        value_loss = (value * valued).sum() / states
        updater.backward((policy_loss + config.vf_coef * value_loss) * scale)
        if scale:
            with torch.no_grad():
                sums["policy"] += policy_loss.detach()
                sums["value"] += value_loss.detach()
                sums["ratio"] += (ratio * acted).sum() / actions
                sums["ratio2"] += (ratio**2 * acted).sum() / actions
                difference = logps - targets.logps[cells]
                sums["approxkl"] += 0.5 * (difference**2 * acted).sum() / actions
                sums["clipped"] += (clipped * acted).sum() / actions
                sums["value_clipped"] += (value_clipped * valued).sum() / states
    totals = updater.total(sums)
    return {
        "loss": totals["policy"] + config.vf_coef * totals["value"],
        "loss/policy_avg": totals["policy"],
        "loss/value_avg": totals["value"],
        "policy/approxkl_avg": totals["approxkl"],
        "policy/clipfrac_avg": totals["clipped"],
        "val/clipfrac_avg": totals["value_clipped"],
        "val/ratio": totals["ratio"],
        "val/ratio_var": max(totals["ratio2"] - totals["ratio"] ** 2, 0.0),
    }


class KlBudget:
    """Keeps the last weights of the policy that were within the limit, and puts them back."""

    def __init__(self, limit: float | None, module: PolicyAndValue) -> None:
        self.limit, self.found = limit, 0.0
        self.kept: dict[str, Tensor] = {}
        self.keep(module)

    def exceeded(self, kl: float) -> bool:
        self.found = kl
        return self.limit is not None and kl > self.limit

    def keep(self, module: PolicyAndValue) -> None:
        if self.limit is not None:
            trained = ((n, p) for n, p in module.policy.named_parameters() if p.requires_grad)
            self.kept = {name: models.copied(p) for name, p in trained}

    def put_back(self, module: PolicyAndValue) -> None:
        models.put(self.kept, dict(module.policy.named_parameters()))

    def sentence(self, step: int) -> str:
        return (
            f"Stopped at step {step}: responses are {self.found:.3g} nats away from the reference, "
            f"over kl_budget = {self.limit:g}; the last weights within it are kept."
        )
