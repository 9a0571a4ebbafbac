"""The last weights that were within all limits, for a run that ends because it went beyond."""

from typing import Any

from torch import Tensor

from app.trainer import lm as models


class LastGood:
    """Keeps the trained weights of a policy and puts them back; nothing when it `is_off`."""

    def __init__(self, policy: Any, *, is_off: bool = False) -> None:
        self.is_off = is_off
        self.weights: dict[str, Tensor] = {}
        self.keep(policy)

    def keep(self, policy: Any) -> None:
        if not self.is_off:
            trained = ((n, p) for n, p in policy.named_parameters() if p.requires_grad)
            self.weights = {name: models.copied(p) for name, p in trained}

    def load(self, weights: dict[str, Tensor]) -> None:
        """Those of a checkpoint, where it has any: else it was not to stop when that was made."""
        if weights and not self.is_off:
            self.weights = weights

    def put_back(self, policy: Any) -> None:
        models.put(self.weights, dict(policy.named_parameters()))

    def state(self) -> dict[str, Tensor]:
        """Whole weights, for a checkpoint: work of all processes."""
        found: dict[str, Tensor] = models.gathered(self.weights)
        return found
