"""In the last layer, feed forward only what is read.

Behind its attention a layer works on each token alone, and of the last layer's output a loss reads
few places: those before a target, or the last token of each response. A pack's mask carries these
places; hooks cut the input of the feed-forward part down to them and put zeros elsewhere.
"""

from typing import Any

from torch import Tensor, nn

_chosen = {"on": True}  # one training in a process


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


def heed(attention: nn.Module, mask: Any) -> None:
    """Called by every attention, so that a layer that is computed again finds its own note."""
    mlp = vars(attention).get("feeds")
    if mlp is not None:
        mlp.read_at = getattr(mask, "read_at", None)


def cut_last_layer(model: Any) -> None:
    """Let the model heed such notes, where its last layer has a feed-forward part named `mlp`."""
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    mlp = getattr(stacks[0][-1], "mlp", None) if len(stacks) == 1 else None
    if not isinstance(mlp, nn.Module):
        return
    mlp.read_at = None  # type: ignore[assignment]
    mlp.register_forward_pre_hook(_cut)
    mlp.register_forward_hook(_fill)
    for module in stacks[0][-1].modules():
        vars(module)["feeds"] = mlp  # not as a part: that would put it into the state dict


def _cut(mlp: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    mlp.whole = given[0].shape
    if mlp.read_at is None:
        return None
    return given[0].flatten(0, 1)[mlp.read_at][None], *given[1:]


def _fill(mlp: Any, _given: tuple[Any, ...], out: Tensor) -> Tensor | None:
    read_at, mlp.read_at = mlp.read_at, None
    if read_at is None:
        return None
    whole = out.new_zeros(mlp.whole[:-1].numel(), out.shape[-1])
    return whole.index_copy(0, read_at, out[0]).view(*mlp.whole[:-1], -1)
