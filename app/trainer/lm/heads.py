"""What a reward model's outputs are: one per objective, and the score that is made of them.

An ordinary one has a single output, which is its score. With criteria it has one more for each:
the first is the preference, the others foresee mean ratings in standard deviations of the training
data. Names stand in `config.id2label`, the rest beside them in the config; an adapter, whose base
has a config of its own, keeps them in `reward.json`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.trainer.failures import BadInput

PREFERENCE = "preference"
BESIDE = "reward.json"
ENSEMBLE = "ensemble.json"
KEPT = ("score_weights", "rating_means", "rating_stds", "score_mean", "score_std", "score_of")


def heads_of(config: Any) -> tuple[str, ...]:
    """Names of the outputs, the preference first."""
    if config.num_labels == 1:
        return (PREFERENCE,)
    return tuple(str(config.id2label[i]) for i in range(config.num_labels))


def name_heads(model: Any, names: Sequence[str], **about: Any) -> None:
    """Write the names of the outputs, and what else is known of them, into the config."""
    if len(names) > 1:
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: i for i, name in enumerate(names)}
    for key, value in about.items():
        setattr(model.config, key, value)


def score_of(heads: Tensor, config: Any) -> Tensor:
    """The score, from all outputs: `(…, heads)` → `(…,)`."""
    weights = getattr(config, "score_weights", None)
    if heads.shape[-1] == 1 or not weights:
        return heads[..., 0]
    return heads @ heads.new_tensor(weights)


def with_heads(model: Any, wanted: Sequence[str]) -> Any:
    """The model with these outputs to train: those that it has go on, the others begin anew.

    What was known of its scores is not true of those to come.
    """
    found = heads_of(model.config)
    for key in KEPT:
        vars(model.config).pop(key, None)
    if tuple(wanted) == found:
        return model
    old = model.score
    fresh = new_head(model, len(wanted))
    with torch.no_grad():
        for i, name in enumerate(wanted):
            if name in found:
                fresh.weight[i] = old.weight[found.index(name)]
    model.score, model.config.num_labels = fresh, len(wanted)
    name_heads(model, wanted)
    return model


def new_head(model: Any, count: int, generator: torch.Generator | None = None) -> nn.Linear:
    """A head as transformers makes it, on the model's device."""
    old, config = model.score, model.config.get_text_config()
    fresh = nn.Linear(old.in_features, count, bias=False, device=old.weight.device)
    with torch.no_grad():
        drawn = torch.randn(fresh.weight.shape, generator=generator)
        fresh.weight.copy_(drawn * getattr(config, "initializer_range", 0.02))
    return fresh


def known_of(model: Any) -> dict[str, Any]:
    """What is known of the outputs beside their names."""
    return {key: getattr(model.config, key) for key in KEPT if hasattr(model.config, key)}


def write_beside(model: Any, folder: Path) -> None:
    """Keep with an adapter what its base's config does not say."""
    about = known_of(model)
    about["heads"] = list(heads_of(model.config))
    (folder / BESIDE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_json(file: Path, name: str) -> dict[str, Any]:
    """A small file beside the weights; empty where there is none."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{file} cannot be read: {error}. Copy the model {name} again.") from error
    return found if isinstance(found, dict) else {}


def member_folders(name: str) -> list[str]:
    """The folders of an ensemble's members in their order; the model itself where it is one."""
    folder = Path(name).expanduser()
    if not (folder / ENSEMBLE).is_file():
        return [name]
    members = read_json(folder / ENSEMBLE, name).get("members")
    listed = members if isinstance(members, list) else []
    found = [(folder / str(member)).resolve() for member in listed]
    if not found or not all(f.is_dir() and f.parent == folder.resolve() for f in found):
        raise BadInput(
            f"{folder / ENSEMBLE} must name the members that are beside it. Copy the whole folder, "
            "or remove the file to use the first member alone."
        )
    return [str(folder / member) for member in listed]
