"""Log-probabilities of the frozen reference: read once, kept in the run folder by content."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.trainer import losses
from app.trainer.batches import Example, Forward, pieces
from app.trainer.lm import autocast, target_logps


@torch.no_grad()
def sequence_logps(
    lm: Any,
    examples: Sequence[Example],
    forward: Forward,
    *,
    check: Callable[[], None] | None = None,
) -> list[Tensor]:
    """Summed log-probabilities of every response: one `(responses,)` per example, on the CPU."""
    was_training = lm.training
    lm.eval()
    found: dict[int, Tensor] = {}
    for group in pieces(examples, forward):
        if check:
            check()
        own = [examples[i] for i in group]
        layout = forward.lay_out(own).to(lm.device)
        with autocast(lm.device, bf16=forward.bf16):
            logps = target_logps(lm, layout)
        sums = losses.sum_by(logps, layout.owners, layout.responses).cpu()
        parts = sums.split([len(example.responses) for example in own])
        found |= dict(zip(group, parts, strict=True))
    lm.train(was_training)
    return [found[i] for i in range(len(examples))]


def cached_logps(
    file: Path, key: str, examples: Sequence[Example], compute: Callable[[], list[Tensor]]
) -> list[Tensor]:
    """What `file` holds for this model and data, or the computed values, which it then holds."""
    counts = [len(example.responses) for example in examples]
    try:
        with safe_open(file, "pt") as stored:
            if (stored.metadata() or {}).get("key") == key:
                return list(stored.get_tensor("logps").split(counts))
    except (OSError, SafetensorError):
        pass  # not there, or cut off: compute
    values = compute()
    if values:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        save_file({"logps": torch.cat(values)}, partial, metadata={"key": key})
        partial.rename(file)
    return values


def content_key(lm: Any, examples: Sequence[Example], forward: Forward) -> str:
    """A hash of weights, tokens and settings: equal keys, equal log-probabilities."""
    digest = hashlib.sha256(repr(forward).encode())
    for name, weights in sorted(lm.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().view(torch.uint8).numpy())
    for example in examples:
        digest.update(repr((example.prompt, example.responses)).encode())
    return digest.hexdigest()
