"""Each kind once from dataset folder to run folder, and what every run has in common."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from app.run_config import parse_config
from app.trainer.__main__ import main

ALL = {"learning_rate", "tokens_per_second", "grad_norm", "step", "epoch", "time"}
WANTED = {
    "sft": {"loss", "mean_token_accuracy"},
    "reward": {"loss", "accuracy", "margin"},
    "dpo": {
        "loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
        "logps/chosen", "logps/rejected",
    },
    "ppo": {
        "objective/scores", "objective/rlhf_reward", "objective/kl", "objective/entropy",
        "policy/clipfrac_avg", "policy/approxkl_avg", "loss/policy_avg", "loss/value_avg",
        "val/ratio", "tokens/response_length",
    },
}  # fmt: skip
KINDS = list(WANTED)


@pytest.fixture
def settings(judge: str) -> dict[str, dict]:
    """Quick settings of each kind."""
    ppo = {"reward_model_path": judge, "response_length": 8, "per_device_train_batch_size": 4}
    return {
        "sft": {},
        "reward": {},
        "dpo": {},
        "ppo": ppo | {"num_ppo_epochs": 2, "learning_rate": 3e-4},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_leaves_the_folder_that_was_promised(kind: str, train, settings) -> None:
    run = train(kind, max_steps=3, **settings[kind])
    assert run.code == 0, run.err
    assert run.err == ""
    rows = run.metrics
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row.keys() >= ALL | WANTED[kind] for row in rows)
    assert all(row["grad_norm"] > 0 for row in rows)
    config = json.loads((run.folder / "config.json").read_text())
    chosen = {k: v for k, v in config.items() if k not in ("kind", "dataset", "model", "output")}
    assert (config["kind"], config["max_steps"]) == (kind, 3)
    assert parse_config(kind, chosen).max_steps == 3
    result = run.result
    assert (result["state"], result["steps"]) == ("succeeded", 3)
    assert result["seconds"] > 0
    assert result["metrics"]["learning_rate"] == rows[-1]["learning_rate"]
    assert {p.name for p in (run.folder / "checkpoints").iterdir()} == {"step-3"}
    assert (run.folder / "model" / "model.safetensors").is_file()
    card = (run.folder / "model" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ")
    samples = run.read("samples.jsonl")
    assert {row["step"] for row in samples} == {1, 2, 3}
    assert all(row["prompt"] and "response" in row for row in samples)
    loads_with_plain_transformers(run.folder / "model", kind)


def loads_with_plain_transformers(folder: Path, kind: str) -> None:
    cls = AutoModelForSequenceClassification if kind == "reward" else AutoModelForCausalLM
    model, info = cls.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template
    if kind == "reward":
        assert model.config.num_labels == 1
        assert model.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [0, 4])
def test_same_seed_same_figures_and_resume_leaves_no_seam(
    kind: str, lora: int, train, settings
) -> None:
    given = settings[kind] | {"save_steps": 2, "save_total_limit": 0, "lora_r": lora}
    whole = train(kind, max_steps=4, output="whole", **given)
    assert whole.code == 0, whole.err
    again = train(kind, max_steps=4, output="again", **given)
    alike(whole, again)
    shutil.rmtree(again.folder / "checkpoints" / "step-4")  # as if killed after the third step
    shutil.rmtree(again.folder / "model")
    resumed = train(kind, "--resume", max_steps=4, output="again", **given)
    assert resumed.code == 0, resumed.err
    alike(whole, resumed)
    other = train(kind, max_steps=1, seed=7, output="other", **given)
    assert other.metrics[0]["grad_norm"] != whole.metrics[0]["grad_norm"]


def alike(one: Any, other: Any) -> None:
    """Two runs that logged and wrote the same, and ended with the same weights."""
    assert one.figures() == other.figures()
    assert one.read("samples.jsonl") == other.read("samples.jsonl")
    weights = [
        load_file(next((run.folder / "model").glob("*.safetensors"))) for run in (one, other)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("kind", KINDS)
def test_accumulation_equals_one_big_batch(kind: str, train, settings) -> None:
    """Also with rows of unequal length, and whatever fits into one forward pass."""
    given = settings[kind] | {"max_steps": 2, "group_by_length": False}
    given.pop("per_device_train_batch_size", None)
    big = train(kind, output="big", per_device_train_batch_size=8, **given)
    small = train(
        kind, output="small", per_device_train_batch_size=2, gradient_accumulation_steps=4,
        max_tokens_per_forward=32, packing=False, **given,
    )  # fmt: skip
    for a, b in zip(big.figures(), small.figures(), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_saved_alone_and_works_when_loaded(kind: str, train, settings) -> None:
    given = settings[kind] | {"max_steps": 3, "lora_r": 4, "learning_rate": 1e-2}
    run = train(kind, **given)
    assert run.code == 0, run.err
    model = run.folder / "model"
    assert {p.name for p in model.glob("*.safetensors")} == {"adapter_model.safetensors"}
    names = load_file(model / "adapter_model.safetensors")
    assert any("score" in name for name in names) == (kind == "reward")
    again = train(
        "reward" if kind == "reward" else "sft", model=str(model), max_steps=1, output="on"
    )
    assert again.code == 0, again.err
    assert again.metrics[0]["grad_norm"] > 0


@pytest.mark.parametrize("lora", [0, 4])
def test_a_reloaded_reward_model_gives_the_scores_it_gave_in_training(
    lora: int, train, tmp_path: Path
) -> None:
    run = train("reward", max_steps=4, lora_r=lora, learning_rate=1e-2)
    seen = [row for row in run.read("samples.jsonl") if row["step"] == 4]
    lines = [
        {"prompt": row["prompt"], "responses": [r["response"] for r in row["responses"]]}
        for row in seen
    ]
    file, out = tmp_path / "lines.jsonl", tmp_path / "scored.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert (
        main(["score", "--model", str(run.folder / "model"), "--output", str(out), str(file)]) == 0
    )
    for row, line in zip(seen, out.read_text().splitlines(), strict=True):
        scores = json.loads(line)["scores"]
        assert scores == pytest.approx([r["score"] for r in row["responses"]], abs=2e-4)
        assert max(scores) - min(scores) > 1e-3


def test_metrics_are_means_over_the_logged_stretch(train) -> None:
    every = train("sft", max_steps=4, output="a", eval_steps=4)
    some = train("sft", max_steps=4, output="b", eval_steps=4, logging_steps=2)
    losses = [row["loss"] for row in every.metrics]
    assert [row["step"] for row in some.metrics] == [1, 2, 4]
    assert some.metrics[1]["loss"] == pytest.approx(losses[1])
    assert some.metrics[2]["loss"] == pytest.approx((losses[2] + losses[3]) / 2)


def test_a_warm_up_that_outlasts_the_run_is_told(train) -> None:
    """The first of its updates is made at rate 0, the peak is that behind the last of them."""
    run = train("sft", max_steps=4, warmup_steps=3)
    assert run.metrics[-1]["learning_rate"] == 1e-3
    assert "warnings" not in run.result
    run = train("sft", output="long", max_steps=3, warmup_steps=4)
    assert run.metrics[-1]["learning_rate"] == pytest.approx(0.5e-3)
    (told,) = run.result["warnings"]
    assert told.startswith(
        "The learning rate rises from 0 in the first 4 updates and the run has 3"
    )
    assert "it comes to 50% of learning_rate (0.001). Lower warmup_steps" in told
    assert [row["message"] for row in run.read("warnings.jsonl")] == [told]


@pytest.mark.parametrize("kind", ["sft", "dpo", "ppo"])
def test_a_trained_model_says_where_its_replies_end(
    kind: str, train, settings, micro: str, tmp_path: Path
) -> None:
    """Whatever else generates with it stops where we do."""
    silent = shutil.copytree(micro, tmp_path / "silent")
    (silent / "generation_config.json").write_text("{}")
    run = train(kind, model=str(silent), max_steps=1, **settings[kind])
    saved = json.loads((run.folder / "model" / "generation_config.json").read_text())
    assert saved["eos_token_id"] == AutoTokenizer.from_pretrained(micro).eos_token_id


def test_old_checkpoints_make_room(train) -> None:
    run = train("sft", max_steps=5, save_steps=1, save_total_limit=2)
    assert {p.name for p in (run.folder / "checkpoints").iterdir()} == {"step-4", "step-5"}


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_changes_no_figure(kind: str, train, settings) -> None:
    given = settings[kind] | {"max_steps": 2, "num_samples": 0}
    plain = train(kind, output="plain", **given)
    again = train(kind, output="again", gradient_checkpointing=True, **given)
    assert again.code == 0, again.err
    for a, b in zip(plain.figures(), again.figures(), strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_bf16_and_gradient_checkpointing_train_too(kind: str, train, settings) -> None:
    plain = train(kind, max_steps=2, output="plain", **settings[kind])
    given = settings[kind] | {"bf16": True, "gradient_checkpointing": True}
    lean = train(kind, max_steps=2, output="lean", **given)
    assert lean.code == 0, lean.err
    assert lean.metrics[1]["loss"] == pytest.approx(plain.metrics[1]["loss"], rel=0.05)
