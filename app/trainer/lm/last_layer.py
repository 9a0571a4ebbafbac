"""In the last layer, work only for what is read.

Behind its keys and values a layer works on each token alone, and of the last layer's output a loss
reads few places: those before a target, or the last token of each response. A pack's mask carries
these places; attention answers only them, and hooks cut the input of the parts behind it (its
projection, the feed-forward part) down to them and put zeros elsewhere.
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


def heed(attention: nn.Module, mask: Tensor) -> Tensor | None:
    """Tell the parts behind what the mask notes → the places, where this is the last layer.

    Called by every attention, so that a layer that is computed again finds its own note.
    """
    behind = vars(attention).get("behind")
    if behind is None:
        return None
    places: Tensor | None = getattr(mask, "read_at", None)
    for part in behind:
        part.read_at = places
    return places


# How models name the projection behind attention.
PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense")


def cut_last_layer(model: Any) -> None:
    """Let the model heed such notes, where its last layer has a feed-forward part named `mlp`."""
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    layer = stacks[0][-1] if len(stacks) == 1 else None
    mlp = getattr(layer, "mlp", None)
    if layer is None or not isinstance(mlp, nn.Module):
        return
    inside = set(mlp.modules())
    behind = [mlp] + [
        part
        for name, part in layer.named_modules()
        if name.split(".")[-1] in PROJECTIONS and part not in inside
    ]
    for part in behind:
        part.read_at = None
        part.register_forward_pre_hook(_cut)
        part.register_forward_hook(_fill)
    for module in layer.modules():
        vars(module)["behind"] = behind  # not as parts: that would put them into the state dict


def _cut(part: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    part.whole = given[0].shape
    if part.read_at is None:
        return None
    return given[0].flatten(0, 1)[part.read_at][None], *given[1:]


def _fill(part: Any, _given: tuple[Any, ...], out: Tensor) -> Tensor | None:
    read_at, part.read_at = part.read_at, None
    if read_at is None:
        return None
    whole = out.new_zeros(part.whole[:-1].numel(), out.shape[-1])
    return whole.index_copy(0, read_at, out[0]).view(*part.whole[:-1], -1)
