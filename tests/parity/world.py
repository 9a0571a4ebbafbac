"""A tiny model and data that are the same on every machine: weights by numpy, a token per byte."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from app.trainer.new_model import make_tokenizer
from tests.trainer import manners

STEPS, BATCH = 20, 2
BYTES = 261  # 256 and the special tokens: nothing is learned from a corpus
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def write_world(folder: Path) -> str:
    """Write `model`, `judge` (a reward model) and `data` → a hash of all of it."""
    tokenizer = make_tokenizer(["x"], BYTES)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
        num_labels=1,
        **SHAPE,
    )
    digest = hashlib.sha256()
    for name, kind, seed in (
        ("model", LlamaForCausalLM, 1),
        ("judge", LlamaForSequenceClassification, 2),
    ):
        model = kind(config)
        fill(model, seed, digest)
        if name == "model":
            never_say(model, tokenizer.pad_token_id)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    for file in write_data(folder / "data"):
        digest.update(repr(file).encode())
    return digest.hexdigest()[:16]


@torch.no_grad()
def fill(model: torch.nn.Module, seed: int, digest: "hashlib._Hash") -> None:
    """Weights from numpy's frozen stream, which no release may change; norms stay 1."""
    random = np.random.RandomState(seed)
    for name, weight in sorted(model.named_parameters()):
        if weight.ndim > 1:
            values = random.normal(0, 0.1, tuple(weight.shape)).astype(np.float32)
            weight.copy_(torch.from_numpy(values))
            digest.update(name.encode() + values.tobytes())


@torch.no_grad()
def never_say(lm: LlamaForCausalLM, token: int) -> None:
    """Hold one dimension of the stream constant, and let this token's logit fall with it.

    A response with a pad token inside means different things to different trainers.
    """
    lm.get_input_embeddings().weight[:, 0] = 1.0
    lm.get_input_embeddings().weight[token, 0] = -30.0
    for layer in lm.model.layers:
        layer.self_attn.o_proj.weight[0] = 0.0
        layer.mlp.down_proj.weight[0] = 0.0


def write_data(folder: Path) -> list[list[dict]]:
    """Training rows alone, one prompt each; margins go up and down."""
    rows = STEPS * BATCH
    prompts = manners.prompts()[:rows]
    configs = {name: manners.rows(name, prompts) for name in ("sft", "preference", "prompts")}
    for i, row in enumerate(configs["preference"]):
        row["margin"] = 0.25 * (i % 3)
    # both labels in every batch, and never the same prompt twice in a row
    configs["unpaired"] = manners.rows("unpaired", prompts)[::2]
    for i, row in enumerate(configs["unpaired"]):
        row["label"] = i % 2 == 0
    for name, made in configs.items():
        manners.write_split(folder, name, "train", made)
    return list(configs.values())
