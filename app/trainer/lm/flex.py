"""FlexAttention: computes the blocks of a mask that are not empty, in any type; compiled on use."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention


def block_mask(tree: Tensor, positions: Tensor, window: int | None = None) -> BlockMask:
    """The same rule as the dense mask, with empty blocks marked as such."""
    belongs, branch = tree
    # a tensor: the compiler takes a number that is not always the same for one it cannot read here
    first = None if window is None else positions - (window - 1)

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        alike = (branch[key] == -1) | (branch[query] == branch[key])
        seen: Tensor = (key <= query) & (belongs[query] == belongs[key]) & alike
        return seen if first is None else seen & (positions[key] >= first[query])

    width = tree.shape[1]
    return create_block_mask(sees, None, None, width, width, device=str(tree.device))


def by_blocks(
    query: Tensor, key: Tensor, value: Tensor, block: BlockMask, scaling: float | None = None
) -> Tensor:
    """Attention of `(1, heads, width, size)`, as many heads of keys as of queries."""
    attend = compiled_flex() if query.device.type == "cuda" else flex_attention
    out: Tensor = attend(query, key, value, block_mask=block, scale=scaling)
    return out


@cache
def compiled_flex() -> Any:
    """Without being compiled, FlexAttention computes every block.

    It is compiled for each number and size of heads, type, kind of mask, and again for gradients:
    of all models of a PPO run more than the 8 times behind which torch gives up without a word.
    """
    torch._dynamo.config.recompile_limit = 64  # noqa: SLF001 - its documented place
    return torch.compile(flex_attention)
