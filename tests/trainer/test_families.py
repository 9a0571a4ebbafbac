"""Packed, padded and alone are the same on every family of decoders, and so are the attentions."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
)

from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import Layout, lay_out
from app.trainer.lm import attention
from app.trainer.lm.flex import block_mask
from tests.trainer.test_layouts import BATCH, example, logps_alone

COMMON = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": 1,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma": {},
    "qwen2": {},
    "qwen3": {},
    # shorter than the examples: in every layer, and in every second one
    "mistral": {"sliding_window": 4},
    "mixtral": {"sliding_window": 4, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gemma2": {"sliding_window": 4, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 5, "query_pre_attn_scalar": 8},
    "gpt_neox": {"num_key_value_heads": 4},
    "phi": {"num_key_value_heads": 4},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "falcon": {"head_dim": None},  # rotary; one key for all heads
    "falcon, new": {"head_dim": None, "new_decoder_architecture": True, "num_kv_heads": 2},
}
PADDED: dict[str, dict[str, Any]] = {
    "bloom": {"n_layer": 2, "n_head": 4},  # places by the mask (ALiBi)
    "falcon, ALiBi": {"alibi": True, "head_dim": None},
    "gpt_neo": {  # a window that counts places in the line
        "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
        "window_size": 256,
    },
    "mamba": {"state_size": 4, "expand": 2, "conv_kernel": 4, "time_step_rank": 4},  # a state
    "mamba2": {
        "state_size": 4, "expand": 2, "conv_kernel": 4, "num_heads": 8, "head_dim": 8,
        "n_groups": 1,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"]},  # states in some layers
    "qwen3_5_text": {
        "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 4,
        "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    },
    "falcon_h1": {  # a state beside attention
        "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4,
        "mamba_n_groups": 1,
    },
}  # fmt: skip
EVERY = pytest.mark.parametrize("family", FAMILIES)
UNCOMPILED = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
OWN_ATTENTION = {"gemma2", "falcon", "falcon, new"}
SPARSE = pytest.mark.parametrize("family", sorted(FAMILIES.keys() - OWN_ATTENTION))


@pytest.fixture(autouse=True)
def usual_attention():
    yield
    models.choose_attention("auto")


def made(family: str, kind: Any = AutoModelForCausalLM, *, plain: bool = False, **more: Any) -> Any:
    """A small random model of a family, with weights large enough to tell tokens apart.

    `plain`: as the library makes it, with its own attention.
    """
    options = COMMON | (FAMILIES | PADDED)[family] | more
    options = {k: v for k, v in options.items() if v is not None}
    config = AutoConfig.for_model(family.partition(",")[0], **options)
    torch.manual_seed(3)
    model = kind.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.15)
    models.without_dropout(model)
    return model.eval() if plain else models.attend_by_tree(model)


def read(model: Any, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of log-probabilities, and the gradient of their mean."""
    model.zero_grad()
    logps = losses.sum_by(models.target_logps(model, layout), layout.owners, layout.responses)
    logps.mean().backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return logps.detach(), torch.cat(grads)


@EVERY
@pytest.mark.parametrize(("pad", "tied"), [(0, True), (None, False)], ids=["tied", "no pad"])
def test_log_probabilities_and_gradients(family: str, pad: int | None, *, tied: bool) -> None:
    options = {"pad_token_id": pad, "tie_word_embeddings": tied}
    model = made(family, **options)
    assert models.can_pack(model, longest=64)
    shared, gradient = read(model, lay_out(BATCH, packed=True))
    # the same responses, each behind a prompt of its own: packed, padded, and one by one
    apart = [replace(e, responses=(r,)) for e in BATCH for r in e.responses]
    for layout in (lay_out(apart, packed=True), lay_out(BATCH, packed=False)):
        logps, other = read(model, layout)
        assert torch.allclose(logps, shared, atol=1e-4)
        assert torch.nn.functional.cosine_similarity(other, gradient, dim=0) > 0.99999
        assert torch.allclose(other, gradient, atol=1e-4)
    alone = logps_alone(made(family, plain=True, **options), BATCH)
    assert shared.tolist() == pytest.approx(alone, abs=2e-4)


@EVERY
def test_scores(family: str) -> None:
    """No example holds the pad token: what the library scores is the last token."""
    options = {"pad_token_id": 0, "num_labels": 1}
    plain = made(family, AutoModelForSequenceClassification, plain=True, **options)
    scorer = models.Scorer(made(family, AutoModelForSequenceClassification, **options))
    with torch.no_grad():
        alone = [
            plain(input_ids=torch.tensor([e.prompt + response])).logits.item()
            for e in BATCH
            for response in e.responses
        ]
    gradients = []
    for packed in (True, False):
        layout = lay_out(BATCH, packed=packed)
        scorer.zero_grad()
        scores = scorer(layout, layout.ends)
        assert scores.tolist() == pytest.approx(alone, abs=1e-4)
        scores.mean().backward()
        grads = [p.grad.flatten() for p in scorer.parameters() if p.grad is not None]
        gradients.append(torch.cat(grads))
    assert torch.allclose(*gradients, atol=1e-5)


@SPARSE
def test_attention_by_example_is_the_dense_one(family: str) -> None:
    model = made(family)
    assert model.config._attn_implementation == attention.TREE
    calls = []
    found = {}
    real = attention.by_example
    attention.by_example = lambda *given: calls.append(1) or real(*given)
    try:
        for how in ("auto", "sdpa"):
            models.choose_attention(how)
            found[how] = read(model, lay_out(BATCH, packed=True))
    finally:
        attention.by_example = real
    assert len(calls) == 2  # once per layer, with auto alone
    for one, other in zip(found["auto"], found["sdpa"], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@UNCOMPILED
@SPARSE
def test_flex_attention_is_the_dense_one(family: str) -> None:
    """FlexAttention has no backward on a CPU; the mask's rule and the scaling are what it tests."""
    model = made(family)
    long = [example(70, 40, 50, seed=1), example(20, 5, seed=2)]  # more than one block
    if family in ("gpt2", "opt"):
        long = [example(40, 30, 20, seed=1), example(60, 50, seed=2)]
    found = {}
    for how in ("sdpa", "flex_attention"):
        models.choose_attention(how)
        with torch.no_grad():
            found[how] = models.target_logps(model, lay_out(long, packed=True))
    assert torch.allclose(found["sdpa"], found["flex_attention"], atol=1e-5)


@pytest.mark.parametrize("family", PADDED)
def test_a_model_that_cannot_take_a_pack_is_padded(family: str) -> None:
    model = made(family).eval()
    assert not models.can_pack(model, longest=64)
    found = read(model, lay_out(BATCH, packed=False))[0]
    assert found.tolist() == pytest.approx(logps_alone(model, BATCH), abs=1e-4)


def test_experts_are_trained_without_a_loss_of_their_router(
    train, tokenizer, tmp_path: Path
) -> None:
    """Asked for by the model, it would refuse packs and what is written token by token."""
    model = made("mixtral", plain=True, vocab_size=400, output_router_logits=True)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    run = train("sft", model=str(tmp_path / "model"), max_steps=1, max_new_tokens=2)
    assert run.code == 0, run.err
    said = json.dumps(run.result)
    assert "loss that balances their load" in said
    assert "cannot take packed rows" not in said
    assert run.read("samples.jsonl")


@pytest.mark.parametrize(
    ("family", "options", "says"),
    [
        ("bert", {}, "is an encoder: it reads what comes later"),
        ("t5", {"d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "d_kv": 8},
         "is an encoder with a decoder"),
        ("rwkv", {"attention_hidden_size": 32}, "keeps what it has read in a cache of its own"),
    ],
)  # fmt: skip
def test_what_is_no_decoder_is_refused(
    family: str, options: dict, says: str, train, tokenizer, tmp_path: Path
) -> None:
    config = AutoConfig.for_model(family, **(COMMON | {"vocab_size": 400} | options))
    kind = AutoModel if family == "t5" else AutoModelForCausalLM
    kind.from_config(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    run = train("sft", model=str(tmp_path / "model"))
    assert run.code == 2
    assert says in run.err
    assert "Choose a decoder such as" in run.err


def test_model_that_wants_another_attention_keeps_it() -> None:
    assert made("gemma2").config._attn_implementation == "eager"  # it caps the scores


@UNCOMPILED
def test_blocks_that_nobody_looks_at_are_left_out() -> None:
    layout = lay_out([example(100, 100, 100, seed=s) for s in range(4)], packed=True)
    block = block_mask(layout.tree, layout.position_ids[0])
    assert block.sparsity() > 50
    query, key, value = (torch.randn(1, 2, 1200, 8) for _ in range(3))
    out = flex_attention(query, key, value, block_mask=block)
    dense = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=layout.attention_mask
    )
    assert torch.allclose(out, dense, atol=1e-5)


def test_flex_attention_on_a_cpu_is_refused_before_training(train) -> None:
    run = train("sft", attn_implementation="flex_attention", max_steps=1)
    assert run.code == 2
    assert "needs a CUDA device; use attn_implementation=auto" in run.err


def test_saved_model_asks_for_no_attention_of_ours(tmp_path, micro: str) -> None:
    model = models.load_lm(micro)
    assert model.config._attn_implementation == attention.TREE
    model.save_pretrained(tmp_path)
    assert attention.TREE not in (tmp_path / "config.json").read_text()
