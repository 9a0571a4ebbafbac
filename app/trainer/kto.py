"""KTO: what single responses, labelled good or bad, need beside the loop of DPO."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from app.run_config import DpoConfig
from app.trainer import losses
from app.trainer.batches import Example


def mismatched(examples: Sequence[Example], max_length: int) -> list[Example]:
    """Each prompt with the response to another one, the next in the file that fits (KTO)."""
    count = len(examples)
    found = []
    for i, example in enumerate(examples):
        room = max_length - len(example.prompt)
        after = (examples[(i + k) % count] for k in range(1, count))
        other = next(
            (e for e in after if e.prompt != example.prompt and len(e.responses[0]) <= room),
            examples[(i + 1) % count],
        )
        found.append(replace(example, responses=(other.responses[0][:room],)))
    return found


def reference_point(logps: Sequence[Tensor], references: Sequence[Tensor]) -> float:
    """KTO's z0: how far the policy has moved on responses to other prompts, not below 0."""
    drift = [policy - frozen for policy, frozen in zip(logps, references, strict=True)]
    return max(0.0, float(torch.cat(drift).mean()))


def imbalance(labels: Sequence[bool], config: DpoConfig) -> str:
    """A sentence where good and bad responses are not balanced as KTO's authors advise, else ""."""
    good, bad = sum(labels), len(labels) - sum(labels)
    if not good or not bad:
        return (
            f"All {len(labels)} responses are labelled {'good' if good else 'bad'}: KTO learns "
            "little from one side alone. Add rows of the other label."
        )
    ratio = config.desirable_weight * good / (config.undesirable_weight * bad or 1e-9)
    if 0.99 <= ratio <= 1.35:
        return ""
    if ratio > 1:
        advice = f"undesirable_weight={config.desirable_weight * good / bad:.3g}"
    else:
        advice = f"desirable_weight={config.undesirable_weight * bad / good:.3g}"
    return (
        f"{good} good and {bad} bad responses: with their weights the good ones count "
        f"{ratio:.2g} times as much as the bad, and 1 to 1.33 times works best. Set {advice}."
    )


def batch_loss(
    examples: Sequence[Example],
    logps: Tensor,
    reference: Tensor,
    weights: Sequence[float],
    config: DpoConfig,
    *,
    z0: float,
) -> tuple[Tensor, dict[str, Any]]:
    """As DPO's, on single responses; its pairs are those among these examples."""
    good = torch.tensor([example.row.label for example in examples], device=logps.device)
    ratios = logps - reference
    each = losses.kto(
        ratios,
        good,
        ratios.new_tensor(z0),
        beta=config.beta,
        desirable_weight=config.desirable_weight,
        undesirable_weight=config.undesirable_weight,
    )
    rewards, own = config.beta * ratios.detach(), logps.detach()
    figures = {
        "chosen": rewards[good].sum(),
        "rejected": rewards[~good].sum(),
        "chosen_logps": own[good].sum(),
        "rejected_logps": own[~good].sum(),
        "chosen_count": int(good.sum()),
        "rejected_count": int((~good).sum()),
        **right_pairs(examples, rewards),
    }
    return (each * each.new_tensor(weights)).sum(), figures


def right_pairs(examples: Sequence[Example], rewards: Tensor) -> dict[str, Any]:
    """Every good response beside every bad one: how many pairs, and how many stand right."""
    good = torch.tensor([example.row.label for example in examples], device=rewards.device)
    delta = rewards[good][:, None] - rewards[~good]
    return {
        "right": ((delta > 0).float() + 0.5 * (delta == 0)).sum(),
        "pairs": delta.numel(),
    }
