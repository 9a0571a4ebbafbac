"""Several processes at one training: who does what, and what all of them know afterwards.

Each function is called by all processes at the same place, and is plain with one.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object, patch_environment
from torch import Tensor

from app.trainer.batches import Example, Forward, pieces

Found = TypeVar("Found")


def start_processes(device: torch.device) -> Accelerator:
    """The process group (of one, unless `accelerate launch` made more) on the wanted device."""
    named = {}
    if device.index is not None:
        torch.cuda.set_device(device)
        if "LOCAL_RANK" not in os.environ:  # else accelerate says "cuda", and refuses 4 bits on it
            named = {"ACCELERATE_TORCH_DEVICE": str(device)}
    ddp = DistributedDataParallelKwargs(gradient_as_bucket_view=True)  # no second copy of them
    with patch_environment(**named):
        return Accelerator(cpu=device.type == "cpu", mixed_precision="no", kwargs_handlers=[ddp])


def any_process(accelerator: Accelerator, *, flag: bool) -> bool:
    """Whether the flag is up in any process, so that all leave the loop at the same step."""
    if accelerator.num_processes == 1:
        return flag
    raised = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(raised, "sum").item())


def total(accelerator: Accelerator, sums: Mapping[str, Any]) -> dict[str, float]:
    """Add figures over processes, in one exchange."""
    values = torch.stack(
        [torch.as_tensor(v, dtype=torch.float64).detach().cpu() for v in sums.values()]
    )
    if accelerator.num_processes > 1:
        values = accelerator.reduce(values.to(accelerator.device), "sum").cpu()
    return dict(zip(sums, values.tolist(), strict=True))


def shares(costs: Sequence[float], processes: int) -> list[list[int]]:
    """Places of a list for each process, so that all have about as much to do, in their order.

    The dearest goes first, each to whoever has least yet (Graham 1969: at most a third too much).
    """
    found: list[list[int]] = [[] for _ in range(processes)]
    load = [0.0] * processes
    for place in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = min(range(processes), key=load.__getitem__)
        found[least].append(place)
        load[least] += costs[place]
    return [sorted(places) for places in found]


def shared_pieces(
    examples: Sequence[Example], processes: int, forward: Forward
) -> list[list[list[int]]]:
    """What each process has to do of some examples: their places, in forward-sized pieces."""
    return [
        [[places[i] for i in group] for group in pieces([examples[i] for i in places], forward)]
        for places in shares([forward.size(example) for example in examples], processes)
    ]


def put_together(
    accelerator: Accelerator, places: Sequence[int], found: Sequence[Found]
) -> list[Found]:
    """What all processes have found, each for its places, in the order of the places."""
    own = list(zip(places, found, strict=True))
    if accelerator.num_processes > 1:
        own = gather_object(own)
    return [value for _, value in sorted(own, key=lambda pair: pair[0])]


def read(
    accelerator: Accelerator,
    examples: Sequence[Example],
    forward: Forward,
    of: Callable[[list[Example]], list[Tensor]],
    *,
    check: Callable[[], None] = lambda: None,
) -> list[Tensor]:
    """What `of` says of each example, every process reading its share of them.

    `of` is called once for each forward pass, and as often in every process: sharded weights are
    work of all. `check` comes before each and may raise.
    """
    every = shared_pieces(examples, accelerator.num_processes, forward)
    groups = every[accelerator.process_index]
    spare = max(map(len, every)) - len(groups)
    found = dict[int, Tensor]()
    for group in [*groups, *[groups[-1] if groups else [0]] * spare]:
        check()
        found |= zip(group, of([examples[i] for i in group]), strict=True)
    own = [place for group in groups for place in group]
    return put_together(accelerator, own, [found[place] for place in own])
