"""The reward models of one run: one, or an ensemble that sees the same rows in the same order."""

import copy
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.run_config import RewardConfig
from app.trainer import lm as models
from app.trainer.batches import Layout
from app.trainer.failures import BadInput
from app.trainer.rollout import noise_seed

HEADS, BOOTSTRAP = 4, 5  # streams of chance beside those of sampling


class Members(nn.Module):
    """Reward models side by side; each learns as if it were alone."""

    def __init__(self, judges: Sequence[Any]) -> None:
        super().__init__()
        self.members = nn.ModuleList(models.Scorer(judge, apart=True) for judge in judges)

    @property
    def judges(self) -> list[Any]:
        return [member.model for member in self.members]

    def forward(self, layout: Layout, positions: Tensor) -> Tensor:
        """All outputs of all members: `(positions, members, heads)`."""
        return torch.stack([member(layout, positions) for member in self.members], dim=1)


def begin(model: str, tokenizer: Any, config: RewardConfig, heads: Sequence[str]) -> list[Any]:
    """The models to train: the members of the ensemble that is given, or copies with other heads.

    Raises:
        BadInput: where nothing would make the members differ.

    """
    size = config.ensemble_size
    folders = models.member_folders(model) if size > 1 else [model]
    if len(folders) > 1:
        if len(folders) != size:
            raise BadInput(
                f"{model} has {len(folders)} members. Set ensemble_size={len(folders)} to train "
                "them further, or 1 to go on with the first alone."
            )
        return [
            models.load_reward_model(name, tokenizer, heads=heads, config=config)
            for name in folders
        ]
    trained = size > 1 and models.is_reward_model(model)
    if trained and not config.ensemble_bootstrap:
        raise BadInput(
            f"{model} is a reward model already, so that all members would be the same. Start "
            "from the language model, or set ensemble_bootstrap=true."
        )
    first = models.load_reward_model(model, tokenizer, heads=heads, config=config)
    return [first, *(another(first, config, k, keep=trained) for k in range(1, size))]


def another(first: Any, config: RewardConfig, number: int, *, keep: bool) -> Any:
    """A copy with a head of its own; under adapters the frozen weights are shared, not copied."""
    shared = {id(weights): weights for weights in first.parameters()} if config.lora_r else {}
    made = copy.deepcopy(first, shared)
    if not keep:
        generator = torch.Generator().manual_seed(noise_seed(config.seed, HEADS, number))
        made.score = models.new_head(made, made.config.num_labels, generator)
    return made


def how_often(config: RewardConfig, rows: int) -> Tensor:
    """How often each row counts for each member: `(members, rows)`; once, without bootstrap."""
    if not config.ensemble_bootstrap:
        return torch.ones(config.ensemble_size, rows)
    drawn = []
    for number in range(config.ensemble_size):
        generator = torch.Generator().manual_seed(noise_seed(config.seed, BOOTSTRAP, number))
        drawn.append(torch.poisson(torch.ones(rows), generator=generator))
    return torch.stack(drawn)


def places(folder: Path, count: int) -> list[Path]:
    """Where each member's weights lie in a folder: a single one in the folder itself."""
    return [folder / f"member-{k}" for k in range(count)] if count > 1 else [folder]


def save(
    members: Members, tokenizer: Any, folder: Path, *, final: bool = False, **about: Any
) -> None:
    """Write the members; the first also where a reader that knows no ensembles looks for a model.

    `about` is what else ensemble.json says.
    """
    judges = members.judges
    found = places(folder, len(judges))
    for judge, place in zip(judges, found, strict=True):
        models.save(judge, tokenizer, place, final=final)
    if len(judges) > 1 and models.is_main():
        shutil.copytree(found[0], folder, copy_function=_link, dirs_exist_ok=True)
        listed = {"members": [place.name for place in found], **about}
        (folder / models.ENSEMBLE).write_text(json.dumps(listed, indent=2) + "\n", "utf-8")


def load(members: Members, folder: Path) -> None:
    """Put the weights of a checkpoint into the members."""
    for judge, place in zip(members.judges, places(folder, len(members.judges)), strict=True):
        models.load_weights(judge, place)


def _link(source: str, target: str) -> None:
    """The same file under another name, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
