"""Weights spread over processes (FSDP2): each keeps a share and asks for the rest when needed.

`accelerate launch --use_fsdp --fsdp_version 2` asks for it by the environment. The layers of a
model are sharded one by one, so that a process holds one of them whole at a time. The forward pass
is then work of all processes together; where each goes at its own pace, use `whole`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from app.trainer.failures import BadInput


def sharding_wanted() -> bool:
    """Whether this process was launched for FSDP.

    Raises:
        BadInput: for a form of it that is not supported.

    """
    if not _on("ACCELERATE_USE_FSDP"):
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise BadInput("Only FSDP2 is supported: launch with --fsdp_version 2.")
    if _on("FSDP_OFFLOAD_PARAMS"):
        raise BadInput("Weights cannot be kept in the CPU's memory: set fsdp_offload_params=false.")
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _on(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("true", "1")


def shard(*called: nn.Module) -> None:
    """Spread the weights of modules, in place; each is one that the training calls by itself."""
    for module in called:
        if any(type(weights).__name__ == "Params4bit" for weights in module.parameters()):
            raise BadInput("4-bit weights cannot be sharded: launch without --use_fsdp.")
        names = {
            n for part in module.modules() for n in getattr(part, "_no_split_modules", ()) or ()
        }
        for layer in list(module.modules()):
            if type(layer).__name__ in names and layer is not module:
                fully_shard(layer)
        fully_shard(module)


def synchronise(*called: nn.Module, wanted: bool) -> None:
    """Whether the next backward pass adds up gradients over processes."""
    for module in called:
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(wanted)


@contextlib.contextmanager
def whole(*called: nn.Module) -> Iterator[None]:
    """All weights in every process; inside, no forward pass waits for another process."""
    parts = [part for module in called for part in module.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(True, recurse=False)


def gathered(value: Any) -> Any:
    """The value, in whatever dicts and lists, with whole tensors: work of all processes."""
    if isinstance(value, DTensor):
        own: Any = value.detach()
        return own.full_tensor().cpu()
    if isinstance(value, dict):
        return {key: gathered(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(gathered(item) for item in value)
    return value


def scattered(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` is kept: this process's share where that is sharded."""
    if not isinstance(like, DTensor) or isinstance(value, DTensor):
        return value
    placed = value.to(like.device)
    return distribute_tensor(placed, like.device_mesh, like.placements, src_data_rank=None)


def put(values: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    """Copy values into the weights of the same names, each process its share."""
    with torch.no_grad():
        for name, value in values.items():
            into[name].copy_(scattered(value, into[name]))


def copied(weights: Tensor) -> Tensor:
    """A copy that training does not change: on the CPU, or this process's share."""
    own = weights.detach()
    return own.clone() if isinstance(own, DTensor) else own.cpu().clone()


def is_main() -> bool:
    """Whether this is the process that writes."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
