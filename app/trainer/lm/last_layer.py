"""In the last layer, feed forward only what is read.

Behind its attention a layer works on each token alone, and of the last layer's output a loss reads
few places: those before a target, or the last token of each response. A pack's mask carries these
places; hooks cut the input of the feed-forward part down to them and put zeros elsewhere.
"""

from typing import Any

from torch import Tensor, nn

_chosen = {"on": True}  # one training in a process
_noted: dict[str, Tensor | None] = {"places": None}  # of the pass that is under way


def choose_last_layer(*, sparse: bool) -> None:
    """Whether packs leave out what nobody reads, from now on."""
    _chosen["on"] = sparse


def read_only(mask: Tensor, places: Tensor) -> Tensor:
    """The mask, with a note that the output is read at these flat positions alone."""
    if not _chosen["on"]:
        return mask
    noted: Any = mask.detach()  # a layout's mask serves models that are read elsewhere, too
    noted.__dict__ |= vars(mask)
    noted.read_at = places.unique()
    found: Tensor = noted
    return found


def heed(mask: Any) -> None:
    """Called by every attention, so that a layer that is computed again finds its own note."""
    _noted["places"] = getattr(mask, "read_at", None)


def cut_last_layer(model: Any) -> None:
    """Let the model heed such notes, where its last layer has a feed-forward part named `mlp`."""
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    mlp = getattr(stacks[0][-1], "mlp", None) if len(stacks) == 1 else None
    if isinstance(mlp, nn.Module):
        mlp.register_forward_pre_hook(_cut)
        mlp.register_forward_hook(_fill)


def _cut(mlp: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    mlp.read_at, mlp.whole = _noted["places"], given[0].shape
    if mlp.read_at is None:
        return None
    return given[0].flatten(0, 1)[mlp.read_at][None], *given[1:]


def _fill(mlp: Any, _given: tuple[Any, ...], out: Tensor) -> Tensor | None:
    _noted["places"] = None
    if mlp.read_at is None:
        return None
    whole = out.new_zeros(mlp.whole[:-1].numel(), out.shape[-1])
    return whole.index_copy(0, mlp.read_at, out[0]).view(*mlp.whole[:-1], -1)
