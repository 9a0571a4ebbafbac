"""Adapters: what they save loads everywhere, and what lies under them does not move."""

import importlib.util
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from app.run_config import parse_config
from app.trainer import lm as models
from app.trainer.__main__ import main
from app.trainer.optimization import make_optimizer
from tests.trainer.test_families import made

LORA = {"lora_r": 4, "learning_rate": 1e-2, "max_steps": 3, "num_samples": 0}
IDS = torch.tensor([[5, 9, 200, 17, 3, 60]])
# peft calls what transformers renames
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes"
)


@pytest.fixture
def given(judge: str) -> dict[str, dict]:
    ppo = {"reward_model_path": judge, "response_length": 6, "num_ppo_epochs": 2}
    return {kind: LORA | (ppo if kind == "ppo" else {}) for kind in ("sft", "reward", "dpo", "ppo")}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapter_says_the_same_through_peft_merged_and_here(
    train, given, micro: str, tmp_path: Path, *, tied: bool
) -> None:
    base = AutoModelForCausalLM.from_pretrained(micro, tie_word_embeddings=tied)
    start = Path(shutil.copytree(micro, tmp_path / "start"))
    base.save_pretrained(start)
    run = train("dpo", model=str(start), **given["dpo"])
    assert run.code == 0, run.err
    folder = run.folder / "model"
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(start), folder)
    trained = logits(peft)
    assert not torch.allclose(trained, logits(base), atol=1e-3)
    assert torch.allclose(logits(peft.merge_and_unload()), trained, atol=1e-5)
    here = models.load_lm(str(folder))
    assert torch.allclose(logits(here), trained, atol=1e-5)
    assert (here.lm_head.weight is here.model.embed_tokens.weight) == tied
    tensors = load_file(folder / "adapter_model.safetensors")
    assert all("lora_" in name for name in tensors)


@pytest.mark.parametrize("pad_is_end", [True, False])
def test_the_score_head_of_an_adapter_is_saved_and_found_again(
    train, given, micro: str, tmp_path: Path, *, pad_is_end: bool
) -> None:
    """With pad = eos the tokenizer gets a token that the base model does not know."""
    start = Path(shutil.copytree(micro, tmp_path / "start"))
    if pad_is_end:
        tokenizer = AutoTokenizer.from_pretrained(start)
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.save_pretrained(start)
    run = train("reward", model=str(start), **given["reward"])
    assert run.code == 0, run.err
    folder = run.folder / "model"
    head = load_file(folder / "adapter_model.safetensors")["base_model.model.score.weight"]
    saved = json.loads((folder / "adapter_config.json").read_text())["modules_to_save"]
    assert "score" in saved
    tokenizer = AutoTokenizer.from_pretrained(folder)
    here = models.load_reward_model(str(folder), tokenizer, fresh=False)
    assert torch.equal(here.score.weight, head)
    base = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1)
    base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    base.config.pad_token_id = tokenizer.pad_token_id
    peft = PeftModel.from_pretrained(base, folder)
    assert torch.allclose(logits(peft), logits(here), atol=1e-5)
    assert torch.allclose(logits(peft.merge_and_unload()), logits(here), atol=1e-5)


def test_gpt_2_takes_an_adapter_without_a_word(train, tokenizer, tmp_path: Path) -> None:
    """Its layers hold their weights the other way round, about which peft would warn."""
    made("gpt2", vocab_size=400).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    run = train("sft", model=str(tmp_path / "model"), **LORA)
    assert (run.code, run.err) == (0, "")


@pytest.mark.parametrize("names", ["embed_tokens", "lm_head", "q_proj, embed_tokens"])
def test_no_adapter_on_embeddings_that_are_one_weight(names: str, train) -> None:
    """Merged into one it would change the other: what is loaded is not what was trained."""
    run = train("sft", **LORA, lora_target_modules=names)
    assert run.code == 2
    assert "input and output embeddings are one weight" in run.err


def test_an_adapter_on_embeddings_of_their_own_comes_back(
    train, tokenizer, micro: str, tmp_path: Path
) -> None:
    config = AutoConfig.from_pretrained(micro)
    config.tie_word_embeddings = False
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    given = LORA | {"learning_rate": 3e-2, "lora_target_modules": "embed_tokens, lm_head"}
    run = train("sft", model=str(tmp_path / "model"), **given)
    assert run.code == 0, run.err
    again = train(
        "sft", model=str(run.folder / "model"), max_steps=1, learning_rate=1e-12, output="b"
    )
    assert again.metrics[-1]["eval_loss"] == pytest.approx(run.metrics[-1]["eval_loss"], abs=1e-5)
    assert run.metrics[-1]["eval_loss"] < run.metrics[0]["loss"] - 0.05


def test_without_its_adapter_the_policy_is_still_the_reference(micro: str, train) -> None:
    policy = models.with_lora(
        models.load_lm(micro), parse_config("dpo", {"lora_r": 4}), scores=False
    )
    start = logits(models.load_lm(micro))
    optimizer = make_optimizer(policy, parse_config("dpo", {"learning_rate": 0.1}))
    policy(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()
    assert all("lora_" in n for n, p in policy.named_parameters() if p.grad is not None)
    assert len(optimizer.state) == sum("lora_" in n for n, _ in policy.named_parameters())
    assert not torch.allclose(logits(policy), start, atol=1e-3)
    with policy.disable_adapter():
        assert torch.equal(logits(policy), start)


@pytest.mark.parametrize("kind", ["dpo", "reward"])
def test_an_adapter_on_top_of_another_is_saved_whole(kind: str, train, given, micro: str) -> None:
    """It would else be applied to the base of the first one, which it has never seen."""
    first = train("sft" if kind == "dpo" else "reward", output="first", **given["sft"])
    second = train(kind, model=str(first.folder / "model"), output="second", **given[kind])
    assert second.code == 0, second.err
    folder = second.folder / "model"
    assert {p.name for p in folder.glob("*.safetensors")} == {"model.safetensors"}
    assert not list(folder.glob("adapter*"))
    adapter = second.folder / "checkpoints" / "step-3" / "model"
    if kind == "dpo":
        start = models.load_lm(str(first.folder / "model"))
        whole = models.load_lm(str(folder))
    else:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        start = models.load_reward_model(str(first.folder / "model"), tokenizer, fresh=False)
        whole = models.load_reward_model(str(folder), tokenizer, fresh=False)
    before = logits(start)
    both = logits(PeftModel.from_pretrained(start, adapter))
    assert torch.allclose(logits(whole), both, atol=1e-5)
    assert not torch.allclose(both, before, atol=1e-3)


# -- 4 bits -------------------------------------------------------------------------------------


def test_four_bits_need_an_adapter_and_a_package(train, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train("sft", load_in_4bit=True)
    assert run.code == 2
    assert "load_in_4bit: 4-bit weights are frozen: set lora_r" in run.err
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    run = train("sft", load_in_4bit=True, lora_r=4)
    assert run.code == 2
    assert "needs the package bitsandbytes, which is not installed" in run.err


@needs_bitsandbytes
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["sft", "reward", "dpo", "ppo"])
def test_four_bits_train_like_thirty_two(kind: str, train, given) -> None:
    settings = given[kind] | {"save_steps": 2, "save_total_limit": 0}
    plain = train(kind, output="plain", **settings)
    small = train(kind, output="small", load_in_4bit=True, **settings)
    assert small.code == 0, small.err
    for a, b in zip(small.metrics, plain.metrics, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0.2, abs=0.05)
    if kind == "dpo":  # the reference has 4 bits too
        assert small.metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    if kind == "ppo":
        assert small.metrics[0]["objective/kl"] == pytest.approx(0, abs=1e-4)
    names = load_file(small.folder / "model" / "adapter_model.safetensors")
    assert names.keys() == load_file(plain.folder / "model" / "adapter_model.safetensors").keys()
    shutil.rmtree(small.folder / "checkpoints" / "step-3")
    before = small.figures()
    resumed = train(kind, "--resume", output="small", load_in_4bit=True, **settings)
    assert resumed.code == 0, resumed.err
    assert resumed.figures() == before


@needs_bitsandbytes
@pytest.mark.filterwarnings("default")
def test_four_bits_on_top_of_an_adapter(train, given, tmp_path: Path) -> None:
    small = {"load_in_4bit": True}
    first = train("sft", output="first", **given["sft"] | small)
    start = str(first.folder / "model")
    second = train("dpo", model=start, output="second", **given["dpo"] | small)
    assert second.code == 0, second.err
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Tell me about tea."}\n')
    model = str(second.folder / "model")
    assert main(["generate", "--model", model, "--max-new-tokens", "4", str(prompts)]) == 0
