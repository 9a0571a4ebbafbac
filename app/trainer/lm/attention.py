"""Attention that leaves out what a packed layout does not need.

In a pack of n examples all but 1/n of the dense mask is empty. Models of transformers call the
function registered here under the name `tree`; it computes only what is wanted: one attention per
example, on a GPU in 16 bit FlashAttention over segments, or where it is asked for FlexAttention
over the blocks that are not empty, which a GPU compiles for half a minute. Where a mask comes
without a layout (padded rows, generation) it is plain scaled-dot-product attention.
"""

from functools import cache, partial
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from app.trainer.batches import Example, Layout, lay_out
from app.trainer.dataset import Row
from app.trainer.failures import BadInput
from app.trainer.lm.flex import block_mask, by_blocks
from app.trainer.lm.last_layer import cut_last_layer, heed, read_only
from app.trainer.lm.varlen import TYPES, by_segments, segments_of

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
        return taken(None)
    sliding = taken(window)
    if not kinds:
        return sliding
    return {"full_attention": taken(None), "sliding_attention": sliding}


def _as_taken(model: Any, layout: Layout, read_at: Tensor, window: int | None) -> Tensor:
    if keeps_scores(model):  # adds a packed mask instead of selecting by it
        mask = _made(layout, "dense", window)
        nowhere = torch.finfo(torch.float32).min
        return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, nowhere)
    if model.config._attn_implementation != TREE:  # noqa: SLF001 - it has no public name
        return _made(layout, "dense", window)
    return read_only(_made(layout, _kind(model, layout), window), read_at)


def _kind(model: Any, layout: Layout) -> str:
    """Which attention this model has for packs: dense, examples, varlen or flex."""
    how, device = _chosen["how"], layout.input_ids.device
    if how == "sdpa":
        return "dense"
    if how == "flex_attention":
        return "flex"
    return "varlen" if flash_suits(model, device) else "examples"


def _made(layout: Layout, kind: str, window: int | None) -> Tensor:
    """A mask with what that kind of attention goes by; models that read a layout share it."""
    if (kind, window) in layout.masks:
        return layout.masks[kind, window]
    assert layout.tree is not None
    if kind == "dense":
        mask: Any = layout.dense_mask(0, layout.tokens, window) if window else layout.attention_mask
    else:  # nobody looks at it, and whoever does shall not go on
        mask = torch.empty(1, 1, 0, 0, dtype=torch.bool, device=layout.tree.device)
    if kind == "examples":
        mask.spans = tuple(
            (start, end, layout.dense_mask(start, end, window) if hides else None)
            for start, end, forks in layout.spans
            for hides in [forks or bool(window and end - start > window)]
        )
    elif kind == "varlen":
        mask.segments = segments_of(layout.segments, mask.device), window
    elif kind == "flex":
        mask.block = block_mask(layout.tree, layout.position_ids[0], window)
    layout.masks[kind, window] = mask
    return cast("Tensor", mask)


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
    segments: Any = getattr(attention_mask, "segments", None)
    block: Any = getattr(attention_mask, "block", None)
    spans: Any = getattr(attention_mask, "spans", None)
    if segments is None and block is None and spans is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **more
        )
        return found
    scaling = more.get("scaling")
    if segments is None:
        groups = query.shape[1] // key.shape[1]
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    if spans is not None:
        chosen = read_at if query.device.type == "cpu" else None  # a GPU would have to tell
        out = by_example(query, key, value, spans, scaling, chosen)
    else:
        wanted = computed_in(query.device, value.dtype)
        query, key, value = query.to(wanted), key.to(wanted), value.to(wanted)
        if segments is not None:
            own, window = segments
            out = by_segments(query, key, value, own, window, scaling)
        else:
            out = by_blocks(query, key, value, block, scaling)
    return out.transpose(1, 2).contiguous(), None


def by_example(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: tuple[tuple[int, int, Tensor | None], ...],
    scaling: float | None,
    read_at: Tensor | None = None,
) -> Tensor:
    """One attention per example, plainly causal unless a mask is given with it.

    Of an example whose output is read at few places, given in ascending order, the others stay 0.
    """
    lengths = [end - start for start, end, _ in spans]  # `split` needs no zeros in its gradient
    queries, keys, values = (x.split(lengths, dim=2) for x in (query, key, value))
    parts = []
    for i, (start, end, mask) in enumerate(spans):
        places = few(read_at, start, end)
        asked, seen = queries[i], mask
        if places is not None:
            causal = places[:, None] >= torch.arange(end - start, device=places.device)
            asked, seen = asked[:, :, places], causal if mask is None else mask[:, :, places]
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


# -- what a GPU has for packs -----------------------------------------------------------------


def flash_suits(model: Any, device: torch.device) -> bool:
    """Whether FlashAttention over segments works there, for a model's heads and numbers."""
    config = model.config.get_text_config()
    if device.type == "cpu" or getattr(config, "v_head_dim", None):  # values of another size
        return False
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    return has_flash(device, size, heads // keys, computed_in(device, model.dtype))


@cache
@torch.enable_grad()
def has_flash(device: torch.device, size: int, groups: int, dtype: torch.dtype) -> bool:
    """Whether it works, forward and backward: tried against the dense mask.

    It is asked amid a pass, which may be one without gradients, under autocast, in a run that draws
    from its seed: none of that may change the answer, nor be changed.
    """
    if dtype not in TYPES:
        return False
    row, ids = Row("probe", ()), (0,) * 100
    examples = [Example(row, ids, (ids[:50], ids[:30])), Example(row, ids[:20], (ids[:56],))]
    layout = lay_out(examples, packed=True).to(device)
    drawn = torch.randn(3, 1, 2 * groups, 256, size, generator=torch.Generator().manual_seed(0))
    query, key, value = drawn.to(device, dtype)
    found = []
    try:
        with torch.autocast(device.type, enabled=False):
            for sparse in (True, False):
                q, k, v = (x.clone().requires_grad_() for x in (query, key[:, :2], value[:, :2]))
                if sparse:
                    out = by_segments(q, k, v, segments_of(layout.segments, device))
                else:
                    out = F.scaled_dot_product_attention(
                        q, repeat_kv(k, groups), repeat_kv(v, groups),
                        attn_mask=layout.attention_mask,
                    )  # fmt: skip
                out.float().square().sum().backward()
                found.append([x.grad.float() for x in (q, k, v)])
    except Exception:  # noqa: BLE001 - what a GPU lacks may raise anything
        return False
    return all(
        bool((a - b).norm() <= 0.02 * b.norm())  # of 16 bits: each number is off by up to 0.4 %
        for a, b in zip(*found, strict=True)
    )


# For every new width cuDNN, which torch prefers on Hopper and Blackwell, builds a plan, for half a
# second each way: here no pass is as wide as the one before.
torch.backends.cuda.enable_cudnn_sdp(False)
AttentionInterface.register(TREE, tree_attention)
AttentionMaskInterface.register(TREE, sdpa_mask)
