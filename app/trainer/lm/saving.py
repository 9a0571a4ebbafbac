"""Weights into folders and back into a model of the same shape."""

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from app.trainer.failures import BadInput
from app.trainer.lm.forward import gives_scores
from app.trainer.lm.heads import BESIDE, heads_of, known_of, name_heads, write_beside
from app.trainer.lm.loading import load_lm, load_reward_model, merged
from app.trainer.lm.sharding import gathered, is_main, put


def load_weights(model: Any, folder: Path) -> None:
    """Put the weights of a checkpoint into a model (or adapter) of the same shape, in place."""
    from safetensors.torch import load_file  # noqa: PLC0415 - only on resume

    state: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
    kept = _weights(model)
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    if kept.keys() - tied != state.keys() - tied or any(
        kept[name].shape != weights.shape for name, weights in state.items()
    ):
        raise BadInput(f"The checkpoint {folder} does not fit the model it is resumed with.")
    put(state, kept)


def _weights(model: Any) -> dict[str, Tensor]:
    """What a checkpoint holds, under its names: all weights, or those of the adapter."""
    if not hasattr(model, "peft_config"):
        found: dict[str, Tensor] = model.state_dict()
        return found
    from peft import get_peft_model_state_dict  # noqa: PLC0415 - only for adapters

    adapter: dict[str, Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return adapter


def save(model: Any, tokenizer: Any, folder: Path, *, final: bool = False) -> None:
    """Write weights (safetensors; an adapter alone where there is one) and tokenizer.

    Every process calls it, because sharded weights are put together first; one of them writes. A
    final adapter that began on top of another one, which it could not name as its base, is merged.
    """
    adapter = hasattr(model, "peft_config")
    trained = {name for name, weights in model.named_parameters() if weights.requires_grad}
    left_out = set() if adapter else set(getattr(model, "all_tied_weights_keys", None) or ())
    state = gathered(
        {
            name: weights
            for name, weights in model.state_dict().items()
            if (name in trained or not adapter) and name not in left_out
        }
    )
    if is_main():
        folder.mkdir(parents=True, exist_ok=True)
        extra = {"save_embedding_layers": False} if adapter else {}
        model.save_pretrained(folder, state_dict=state, **extra)
        tokenizer.save_pretrained(folder)
        if adapter and gives_scores(model):
            write_beside(model.get_base_model(), folder)
        begun = getattr(model, "begun_from_adapter", None)
        if final and adapter and begun:
            _save_merged(model, tokenizer, begun, folder)


def _save_merged(model: Any, tokenizer: Any, begun: str, folder: Path) -> None:
    """Both adapters in 32-bit weights, in place of the second one that `folder` holds."""
    if gives_scores(model):
        heads = heads_of(model.get_base_model().config)
        whole = merged(load_reward_model(begun, tokenizer, heads=heads), str(folder))
        name_heads(whole, heads, **known_of(model.get_base_model()))
        (folder / BESIDE).unlink()
    else:
        whole = merged(load_lm(begun), str(folder))
    for file in folder.glob("adapter_*"):
        file.unlink()
    whole.save_pretrained(folder)


def fingerprint(model: Any) -> str:
    """A hash of a few values of every weight: enough to notice another model."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        few = weights.detach().flatten()[:64].float().cpu().contiguous()
        digest.update(f"{name} {tuple(weights.shape)}".encode() + few.numpy().tobytes())
    return digest.hexdigest()
