"""The update: epochs of clipped policy and value loss over the episodes of one batch."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from app.run_config import PpoConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import Example, Forward, Layout
from app.trainer.optimization import Updater
from app.trainer.ppo.episodes import Episode, Pass, by_prompt
from app.trainer.ppo.shaping import Shaping, Targets, targets_of
from app.trainer.rollout import noise_seed


def update(
    episodes: Sequence[Episode],
    shaping: Shaping,
    config: PpoConfig,
    updater: Updater,
    forward: Forward,
    step: int,
    kept: list[Pass] | None = None,
) -> dict[str, float]:
    """Some epochs of clipped policy and value steps over the episodes → figures for the log.

    `kept` passes, which measured all of them with the weights as they still are, are used up.
    """
    device = updater.accelerator.device
    targets = targets_of(episodes, shaping, config)
    in_loss = 0.0 if config.priced_in_reward else shaping.kl_coef
    on_device = Targets(**{name: grid.to(device) for name, grid in vars(targets).items()})
    seen = [
        replace(e.example, responses=(e.example.responses[0] + (0,) * extra,))
        for e in episodes
        for extra in [e.values.numel() - e.actions]
    ]
    count = min(config.num_mini_batches, len(episodes))  # the last batch of an epoch may be short
    rounds = config.num_ppo_epochs * count
    gathered: dict[str, float] = {}
    for epoch in range(config.num_ppo_epochs):
        generator = torch.Generator().manual_seed(noise_seed(config.seed, 3, step, epoch))
        order = torch.randperm(len(episodes), generator=generator)
        for number, chosen in enumerate(order.tensor_split(count), 1):
            own = sorted(chosen.tolist())  # in the order in which they were measured
            figures = mini_batch(seen, own, on_device, config, updater, forward, in_loss, kept)
            last = epoch == config.num_ppo_epochs - 1 and number == count
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
    kl_coef: float = 0.0,
    kept: list[Pass] | None = None,
) -> dict[str, float]:
    """Gradients of one mini-batch; answers to one prompt share its tokens.

    `kl_coef` is the price of KL as a term of the loss; `kept` passes over it are used up.
    """
    device = updater.accelerator.device
    weights = weights_of(targets.actions[torch.tensor(chosen, device=device)], config)
    states = targets.valued[torch.tensor(chosen, device=device)].sum().clamp(min=1)
    names = ("policy", "value", "kl", "ratio", "ratio2", "approxkl", "clipped", "value_clipped")
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    passes = used_up(kept, updater) if kept else read(seen, chosen, updater, forward)
    for places, layout, logits, values, scale in passes:
        own = torch.tensor(places, device=device)
        rows = torch.tensor(chosen, device=device)[own][layout.owners]
        cells, weight = (rows, layout.columns), weights[own[layout.owners], layout.columns]
        acted, valued, old = targets.actions[cells], targets.valued[cells], targets.logps[cells]
        logps = losses.logps_of(losses.tempered(logits, config.temperature), layout.targets)
        logps = torch.where(acted, logps, old)
        ratio_of = logps - old
        if config.algorithm == "rloo":  # one action: the whole response
            ratio_of = losses.sum_by(ratio_of, layout.owners, layout.responses)[layout.owners]
        policy, ratio, clipped = losses.ppo_policy(
            ratio_of, torch.zeros_like(old), targets.advantages[cells], config.cliprange
        )
        value, value_clipped = losses.ppo_value(
            values, targets.values[cells], targets.returns[cells], config.cliprange_value
        )
        policy_loss, kl_loss = (policy * weight).sum(), torch.zeros((), device=device)
        if kl_coef:
            kl = losses.kl_per_token(logps, targets.ref_logps[cells], "k3")
            kl_loss = kl_coef * (kl * weight).sum()
        value_loss = (value * valued).sum() / states
        updater.backward((policy_loss + kl_loss + config.vf_coef * value_loss) * scale)
        if scale:
            with torch.no_grad():
                sums["policy"] += policy_loss.detach()
                sums["value"] += value_loss.detach()
                sums["kl"] += kl_loss.detach()
                share = weight / weights.sum()
                sums["ratio"] += (ratio * share).sum()
                sums["ratio2"] += (ratio**2 * share).sum()
                sums["approxkl"] += 0.5 * ((logps - old) ** 2 * share).sum()
                sums["clipped"] += (clipped * share).sum()
                sums["value_clipped"] += (value_clipped * valued).sum() / states
    return named(updater.total(sums), config)


Read = tuple[list[int], Layout, Tensor, Tensor, float]  # places, pass, logits, values, scale


def read(
    seen: Sequence[Example], chosen: Sequence[int], updater: Updater, forward: Forward
) -> Iterator[Read]:
    """The passes of this process over a mini-batch, each with its places there."""
    device = updater.accelerator.device
    groups, members = by_prompt([seen[i] for i in chosen], most=forward.max_tokens)
    for examples, places, scale in updater.pieces(groups, forward):
        layout = forward.lay_out(examples).to(device)
        with models.autocast(device, bf16=forward.bf16):
            logits, values = updater.model(layout)
        yield [i for place in places for i in members[place]], layout, logits, values, scale


def used_up(kept: list[Pass], updater: Updater) -> Iterator[Read]:
    """Those that were made already, over all episodes; what they hold is free afterwards."""
    scale = float(updater.accelerator.num_processes)
    while kept:
        own = kept.pop(0)
        yield own.places, own.layout, own.logits, own.values, scale


def weights_of(actions: Tensor, config: PpoConfig) -> Tensor:
    """How much each action counts in the loss of a mini-batch: `(episodes, time)`, masked.

    Every action the same (ppo, and dapo for grpo), every response the same (rloo, and grpo), or
    every action a share of the longest possible response (dr_grpo).
    """
    mask = actions.float()
    by_response = config.algorithm == "rloo" or (
        config.algorithm == "grpo" and config.loss_type == "grpo"
    )
    if by_response:
        return mask / mask.sum(1, keepdim=True) / len(mask)
    if config.algorithm == "grpo" and config.loss_type == "dr_grpo":
        return mask / (len(mask) * config.response_length)
    return mask / mask.sum()


def named(totals: dict[str, float], config: PpoConfig) -> dict[str, float]:
    """Sums over the pieces under TRL's names; the value model's only where there is one."""
    figures = {
        "loss": totals["policy"] + totals["kl"] + config.vf_coef * totals["value"],
        "loss/policy_avg": totals["policy"],
        "policy/approxkl_avg": totals["approxkl"],
        "policy/clipfrac_avg": totals["clipped"],
        "val/ratio": totals["ratio"],
        "val/ratio_var": max(totals["ratio2"] - totals["ratio"] ** 2, 0.0),
    }
    if config.algorithm == "ppo":
        figures["loss/value_avg"] = totals["value"]
        figures["val/clipfrac_avg"] = totals["value_clipped"]
    if not config.priced_in_reward:
        figures["loss/kl_avg"] = totals["kl"]
    return figures
