"""The trainer's side: losses of every step, and the gradient of the first."""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from app.trainer.__main__ import main
from app.trainer.optimization import Updater
from app.trainer.ppo.episodes import Play


def train(
    kind: str, world: Path, output: Path, *, start: str, config: str, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Run one training in this process → its metrics."""
    pairs = {"dataset_config": config, **settings}
    options = [part for k, v in pairs.items() for part in ("--set", f"{k}={v}")]
    folders = ("--dataset", world / "data", "--model", world / start, "--output", output)
    with contextlib.redirect_stdout(io.StringIO()):
        code = main([kind, *map(str, folders), *options])
    if code:
        raise SystemExit(code)
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@contextlib.contextmanager
def first_gradient() -> Iterator[dict[str, Tensor]]:
    """Gradients by parameter name, as they are before the first update."""
    found: dict[str, Tensor] = {}
    step = Updater.step

    def spying(self: Updater, number: int, loss: float, **more: Any) -> dict[str, float]:
        if not found:
            for name, weight in self.bare.named_parameters():
                if weight.grad is not None:
                    bare = name.removeprefix("members.0.").removeprefix("model.model.")
                    found[bare] = weight.grad.clone()
        return step(self, number, loss, **more)

    with mock.patch.object(Updater, "step", spying):
        yield found


@contextlib.contextmanager
def responses() -> Iterator[list[list[list[int]]]]:
    """Token ids of the responses that PPO learns from, per update."""
    found: list[list[list[int]]] = []
    episodes = Play.episodes

    def spying(self: Play, prompts: Any, *, stream: int, **more: int) -> Any:
        made = episodes(self, prompts, stream=stream, **more)
        if stream == 0:
            found.append([list(e.example.responses[0]) for e in made])
        return made

    with mock.patch.object(Play, "episodes", spying):
        yield found


def cosine(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Of two gradients over the parameters that both name; they must be the same ones."""
    one, other = bare(one), bare(other)
    if one.keys() != other.keys():
        raise ValueError(f"other parameters: {sorted(one.keys() ^ other.keys())}")
    flat = [
        torch.cat([side[name].double().flatten() for name in sorted(one)]) for side in (one, other)
    ]
    return float(torch.nn.functional.cosine_similarity(*flat, dim=0))


def bare(gradient: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without what wraps the decoder."""
    return {name.removeprefix("model."): value for name, value in gradient.items()}
