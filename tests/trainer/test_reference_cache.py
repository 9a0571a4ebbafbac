"""The reference's log-probabilities that a run kept are never those of anything else."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file

from app.trainer import lm as models
from app.trainer.batches import Example, Forward
from app.trainer.dataset import Row
from app.trainer.reference import content_key

SHORT = {"max_steps": 1, "num_samples": 0, "monitor_action": "off", "max_length": 256}


def other_texts(data: Path, _model: Path) -> dict[str, Any]:
    """As long as before, to the byte."""
    for split in ("train", "test"):
        file = data / "preference" / f"{split}.jsonl.gz"
        text = gzip.decompress(file.read_bytes()).decode()
        swapped = text.replace("light", "might")
        assert len(swapped) == len(text)
        assert swapped != text
        file.write_bytes(gzip.compress(swapped.encode()))
    return {}


def one_weight(_data: Path, model: Path) -> dict[str, Any]:
    file = model / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.down_proj.weight"][-1, -1] += 0.5
    save_file(weights, file, metadata={"format": "pt"})
    return {}


def configured(**values: Any) -> Callable[[Path, Path], dict[str, Any]]:
    """The same weights, read otherwise."""

    def change(_data: Path, model: Path) -> dict[str, Any]:
        file = model / "config.json"
        config = json.loads(file.read_text())
        for name, value in values.items():
            config[name] = config[name] | value if isinstance(value, dict) else value
        file.write_text(json.dumps(config))
        return {}

    return change


def template(_data: Path, model: Path) -> dict[str, Any]:
    file = model / "chat_template.jinja"
    file.write_text("{{ 'Now.' }}" + file.read_text())
    return {}


def shorter(_data: Path, _model: Path) -> dict[str, Any]:
    return {"max_length": 48}


def halved(_data: Path, _model: Path) -> dict[str, Any]:
    return {"bf16": True}


CHANGES = {
    "texts": other_texts,
    "a weight": one_weight,
    "positions": configured(rope_parameters={"rope_theta": 50.0}),
    "norms": configured(rms_norm_eps=0.1),
    "activation": configured(hidden_act="relu"),
    "template": template,
    "max_length": shorter,
    "bf16": halved,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_begun_again_over_something_else_reads_it_anew(
    train, data: Path, micro: str, tmp_path: Path, change: str
) -> None:
    """A first attempt that was killed once it had kept them, in the same folder."""
    rows, model = tmp_path / "data", tmp_path / "model"
    shutil.copytree(data, rows)
    shutil.copytree(micro, model)
    given = {"dataset": rows, "model": str(model)}
    first = train("dpo", **given, **SHORT)
    assert first.code == 0, first.err
    for child in first.folder.iterdir():
        if child.name not in ("reference", "config.json"):
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    old = {f.name: load(f.read_bytes())["logps"] for f in (first.folder / "reference").iterdir()}
    settings = SHORT | CHANGES[change](rows, model)
    again = train("dpo", **given, **settings)
    fresh = train("dpo", **given, **settings, output="fresh")
    assert (again.code, fresh.code) == (0, 0), again.err
    for name, before in old.items():
        found, right = (
            load((run.folder / "reference" / name).read_bytes())["logps"] for run in (again, fresh)
        )
        assert torch.equal(found, right)
        assert found.shape != before.shape or not torch.equal(found, before)
    assert again.figures() == fresh.figures()


def test_a_weight_that_is_one_number_has_its_place_in_the_key(micro: str) -> None:
    lm = models.load_lm(micro)
    forward = Forward(packed=True, max_tokens=64, bf16=False)
    batch = [Example(Row("made", ()), (1, 2), ((3, 4),))]
    lm.register_buffer("scale", torch.tensor(1.0))
    key = content_key(lm, batch, forward)
    lm.scale += 1
    assert content_key(lm, batch, forward) != key
