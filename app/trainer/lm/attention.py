"""Attention that leaves out what a packed layout does not need.

In a pack of n examples all but 1/n of the dense mask is empty. Models of transformers call the
function registered here under the name `tree`; it computes only what is wanted: on a CPU one
attention per example, on a GPU FlexAttention over the blocks that are not empty. Where a mask comes
without a layout (padded rows, generation) it is plain scaled-dot-product attention.
"""

from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from app.trainer.batches import Layout
from app.trainer.failures import BadInput
from app.trainer.lm.last_layer import cut_last_layer, heed, read_only

TREE = "tree"
_chosen = {"how": "auto"}  # one training in a process


def choose_attention(how: str, device: torch.device | None = None) -> None:
    """Which attention packs get from now on: auto, sdpa (one dense mask) or flex_attention.

    Raises:
        BadInput: where this device cannot train with it.

    """
    if how == "flex_attention" and device is not None and device.type != "cuda":
        raise BadInput("FlexAttention needs a CUDA device; use attn_implementation=auto.")
    _chosen["how"] = how


def attend_by_tree(model: Any) -> Any:
    """Let a model that uses scaled-dot-product attention call `tree_attention` instead."""
    if model.config._attn_implementation == "sdpa":  # noqa: SLF001 - it has no public name
        model.set_attn_implementation(TREE)
        cut_last_layer(model)
    return model


def keeps_scores(model: Any) -> bool:
    """Whether it attends step by step, as one that caps its scores must (Gemma 2)."""
    return bool(model.config._attn_implementation == "eager")  # noqa: SLF001 - no public name


def mask_for(model: Any, layout: Layout, read_at: Tensor) -> Any:
    """The layout's mask as this model takes it; for `tree` it carries what the mask is made of.

    The output will be read at the flat positions `read_at` alone. Layers that look back over a
    window only get a mask of their own, by name where a model has layers of both kinds.
    """
    if layout.tree is None:
        return layout.attention_mask
    inner = getattr(model, "module", model)  # inside DistributedDataParallel
    config = inner.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    longest = max(end - start for start, end, _ in layout.spans)  # at most
    taken = partial(_as_taken, inner, layout, read_at)
    if not window or longest <= window or kinds == {"full_attention"}:
        return taken(layout.attention_mask, None)
    positions = layout.position_ids[0]
    near = layout.attention_mask & (positions[:, None] - positions < window)
    sliding = taken(near, window)
    if not kinds:
        return sliding
    return {"full_attention": taken(layout.attention_mask, None), "sliding_attention": sliding}


def _as_taken(model: Any, layout: Layout, read_at: Tensor, mask: Any, window: int | None) -> Tensor:
    found: Tensor = mask
    assert layout.tree is not None
    if keeps_scores(model):  # adds a packed mask instead of selecting by it
        nowhere = torch.finfo(torch.float32).min
        return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, nowhere)
    if model.config._attn_implementation != TREE:  # noqa: SLF001 - it has no public name
        return found
    how = _chosen["how"]
    if how == "flex_attention" or (how == "auto" and flex_suits(model, mask.device)):
        if not hasattr(mask, "block"):  # else another model has read this layout
            mask.block = block_mask(layout.tree, layout.position_ids[0], window)
    elif hasattr(mask, "block"):
        found = mask.detach()  # it may be read so by that model, not by this one
    elif how == "auto" and mask.device.type == "cpu" and not hasattr(mask, "spans"):
        mask.spans = tuple(
            (start, end, forks or bool(window and end - start > window))
            for start, end, forks in layout.spans
        )
    return read_only(found, read_at)


def tree_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **more: Any
) -> tuple[Tensor, None]:
    """Attention of a packed layout by what its mask carries: `(1, heads, width, size)` thrice."""
    more["read_at"] = heed(module, attention_mask)
    if query.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return _attention(module, query, key, value, attention_mask, **more)
    # torch's bfloat16 attention on a CPU takes twice the time of this, for one query five times
    with torch.autocast("cpu", enabled=False):
        query, key, value = query.float(), key.float(), value.float()
        return _attention(module, query, key, value, attention_mask, **more)


def computed_in(device: torch.device, given: torch.dtype) -> torch.dtype:
    """The type in which attention computes: that of autocast, but on a CPU 32 bit (see above)."""
    if not torch.is_autocast_enabled(device.type):
        return given
    return torch.float32 if device.type == "cpu" else torch.get_autocast_dtype(device.type)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *,
    read_at: Tensor | None,
    **more: Any,
) -> tuple[Tensor, None]:
    block: Any = getattr(attention_mask, "block", None)
    spans: Any = getattr(attention_mask, "spans", None)
    if block is None and spans is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **more
        )
        return found
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scaling = more.get("scaling")
    if block is not None:
        out = by_blocks(query, key, value, block, scaling)
    else:
        out = by_example(query, key, value, attention_mask, spans, scaling, read_at)
    return out.transpose(1, 2).contiguous(), None


def by_example(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    spans: tuple[tuple[int, int, bool], ...],
    scaling: float | None,
    read_at: Tensor | None = None,
) -> Tensor:
    """One attention per example, plainly causal unless it forks (or is longer than a window).

    Of an example whose output is read at few places, given in ascending order, the others stay 0.
    """
    lengths = [end - start for start, end, _ in spans]  # `split` needs no zeros in its gradient
    queries, keys, values = (x.split(lengths, dim=2) for x in (query, key, value))
    parts = []
    for i, (start, end, forks) in enumerate(spans):
        cut = slice(start, end)
        places = few(read_at, start, end)
        asked, seen = queries[i], mask[:, :, cut, cut] if forks else None
        if places is not None:
            asked, seen = asked[:, :, places], mask[:, :, cut, cut][:, :, places]
        out = F.scaled_dot_product_attention(
            asked, keys[i], values[i], attn_mask=seen, is_causal=seen is None, scale=scaling
        )
        if places is not None:
            out = torch.zeros_like(queries[i]).index_copy(2, places, out)
        parts.append(out)
    return torch.cat(parts, dim=2)


def few(read_at: Tensor | None, start: int, end: int) -> Tensor | None:
    """The places of an example that are read, counted from its start; None: too many to choose."""
    if read_at is None:
        return None
    own = read_at[(read_at >= start) & (read_at < end)] - start
    return own if 2 * len(own) < end - start else None


# -- FlexAttention ----------------------------------------------------------------------------


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
    query: Tensor, key: Tensor, value: Tensor, block: BlockMask, scaling: float | None
) -> Tensor:
    wanted = computed_in(query.device, value.dtype)
    attend = compiled_flex() if query.device.type == "cuda" else flex_attention
    out: Tensor = attend(
        query.to(wanted), key.to(wanted), value.to(wanted), block_mask=block, scale=scaling
    )
    return out


@cache
def compiled_flex() -> Any:
    """Without being compiled, FlexAttention computes every block.

    It is compiled for each number and size of heads, type, kind of mask, and again for gradients:
    of all models of a PPO run more than the 8 times behind which torch gives up without a word.
    """
    torch._dynamo.config.recompile_limit = 64  # noqa: SLF001 - its documented place
    return torch.compile(flex_attention)


def flex_suits(model: Any, device: torch.device) -> bool:
    """Whether FlexAttention works there for heads and numbers as this model has them."""
    if device.type != "cuda":
        return False
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return has_flex(device, size, computed_in(device, model.dtype))


@cache
@torch.enable_grad()
def has_flex(device: torch.device, size: int, dtype: torch.dtype) -> bool:
    """Whether FlexAttention works, forward and backward: tried against the dense mask.

    It is asked amid a pass, which may be one without gradients, under autocast, in a run that draws
    from its seed: none of that may change the answer, nor be changed.
    """
    tree = torch.tensor([[0] * 150 + [1] * 106, [-1] * 100 + [0] * 50 + [-1] * 106]).to(device)
    layout = Layout(*(torch.zeros(1, 256),) * 2, None, tree, (), *(torch.zeros(0),) * 5)
    drawn = torch.randn(3, 1, 2, 256, size, generator=torch.Generator().manual_seed(0))
    given = drawn.to(device, dtype)
    try:
        grads: list[Any] = []
        with torch.autocast(device.type, enabled=False):
            for sparse in (True, False):
                q, k, v = (one.clone().requires_grad_() for one in given)
                if sparse:
                    block = block_mask(tree, torch.arange(256, device=device))
                    out = by_blocks(q, k, v, block, None)
                else:
                    out = F.scaled_dot_product_attention(q, k, v, attn_mask=layout.attention_mask)
                out.square().sum().backward()
                grads += [q.grad.float(), k.grad.float(), v.grad.float()]
    except Exception:  # noqa: BLE001 - a compiler that is missing may raise anything
        return False
    return all(
        bool((a - b).norm() <= 0.02 * b.norm())  # of 16 bits: each number is off by up to 0.4 %
        for a, b in zip(grads[:3], grads[3:], strict=True)
    )


AttentionInterface.register(TREE, tree_attention)
AttentionMaskInterface.register(TREE, sdpa_mask)
