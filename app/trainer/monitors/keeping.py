"""The last weights that were within all limits, for a run that ends because it went beyond."""

from typing import Any

import torch
from torch import Tensor


class LastGood:
    """Keeps the trained weights of a policy and puts them back; nothing when it `is_off`."""

    def __init__(self, policy: Any, *, is_off: bool = False) -> None:
        self.is_off = is_off
        self.weights: dict[str, Tensor] = {}
        self.keep(policy)

    def keep(self, policy: Any) -> None:
        if not self.is_off:
            trained = ((n, p) for n, p in policy.named_parameters() if p.requires_grad)
            self.weights = {name: p.detach().cpu().clone() for name, p in trained}

    @torch.no_grad()
    def put_back(self, policy: Any) -> None:
        parameters = dict(policy.named_parameters())
        for name, value in self.weights.items():
            parameters[name].copy_(value)
