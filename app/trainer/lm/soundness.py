"""Weights that are not numbers."""

from typing import Any

import torch

from app.trainer.failures import Diverged


def first_broken(model: Any) -> str:
    """The first parameter with a NaN or an infinity in it; "" when all are sound."""
    for name, weights in model.named_parameters():
        own = weights.to_local() if hasattr(weights, "to_local") else weights  # a share of it
        if own.is_floating_point() and not torch.isfinite(own).all():
            return str(name)
    return ""


def refuse_broken(model: Any, name: str, role: str) -> None:
    """Nothing can be learned from weights that are not numbers; find out before the data is read.

    Raises:
        Diverged: naming the first of them.

    """
    if broken := first_broken(model):
        raise Diverged(
            f"The {role} {name} has weights that are not numbers ({broken}), so the run that made "
            "it diverged. Choose another model, or an earlier checkpoint."
        )
