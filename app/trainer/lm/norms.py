"""Root mean square norms as one operation on a GPU, where models of transformers take eight."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

_chosen = {"fused": True}  # one training in a process


def choose_norms(*, fused: bool) -> None:
    """Whether norms on a GPU are one operation, from now on."""
    _chosen["fused"] = fused


def fuse_norms(model: Any) -> Any:
    """Let such norms of the model be one operation where they can: Gemma's are none of them."""
    for part in model.modules():
        kind: Any = type(part)
        if kind.__name__.endswith("RMSNorm") and _is_plain(part):
            part.__class__ = _fused(kind)  # a copy of the model stays what it is
    return model


@torch.no_grad()
def _is_plain(part: nn.Module) -> bool:
    weight, epsilon = getattr(part, "weight", None), getattr(part, "variance_epsilon", None)
    if not isinstance(weight, Tensor) or not isinstance(epsilon, float):
        return False
    tried = torch.linspace(-1, 1, 2 * len(weight), device=weight.device).view(2, -1)
    return torch.allclose(part(tried), F.rms_norm(tried, weight.shape, weight, epsilon), atol=1e-5)


@cache
def _fused(kind: Any) -> Any:
    class Fused(kind):  # type: ignore[misc]
        def forward(self, hidden_states: Tensor) -> Any:
            if not _applies(hidden_states):
                return super().forward(hidden_states)
            return F.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)

    Fused.__name__ = Fused.__qualname__ = kind.__name__
    return Fused


def _applies(given: Tensor) -> bool:
    return _chosen["fused"] and given.is_cuda
