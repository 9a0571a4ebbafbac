"""Settings are understood, checked and described without torch."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.run_config import (
    KINDS,
    ConfigError,
    DpoConfig,
    config_class,
    defaults,
    describe,
    parse_config,
    to_mapping,
)


def message(kind: str, **mapping: object) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(kind, mapping)
    return str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_valid_and_survive_json(kind: str) -> None:
    for from_scratch in (False, True):
        config = parse_config(kind, defaults(kind, from_scratch=from_scratch))
        assert parse_config(kind, json.loads(json.dumps(to_mapping(config)))) == config


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_a_help_text_and_a_group(kind: str) -> None:
    rows = describe(kind)
    assert len(rows) == len(dataclasses.fields(config_class(kind)))
    for row in rows:
        assert row["help"].endswith("."), row["name"]
        assert row["group"]
        assert row["type"] in ("int", "float", "bool", "str", "tuple")


def test_configs_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DpoConfig().beta = 0.2  # type: ignore[misc]


def test_values_from_the_command_line_are_text() -> None:
    config = parse_config(
        "ppo",
        {
            "learning_rate": "1e-5", "bf16": "true", "max_steps": "7", "kl_budget": "none",
            "kl_target": "6", "lora_target_modules": "q_proj, v_proj",
        },
    )  # fmt: skip
    assert (config.learning_rate, config.bf16, config.max_steps) == (1e-5, True, 7)
    assert config.lora_target_modules == ("q_proj", "v_proj")
    assert (config.kl_budget, config.kl_target) == (None, 6.0)


@pytest.mark.parametrize(
    ("kind", "mapping", "says"),
    [
        ("sft", {"learning_rat": 1}, "did you mean learning_rate?"),
        ("sft", {"beta": 0.1}, "belongs to dpo, not to sft"),
        ("sft", {"zzz": 1}, "no such setting for sft."),
        ("sft", {"max_steps": 1.5}, "must be a whole number, not 1.5"),
        ("sft", {"max_steps": True}, "must be a whole number"),
        ("sft", {"max_steps": 0}, "at least 1, or -1"),
        ("sft", {"max_new_tokens": 1e300}, "is too large a number; 1e+18 is the most"),
        ("ppo", {"score_clip": 1e300}, "is too large a number; 1e+30 is the most"),
        ("reward", {"score_weights": "preference=-1e300"}, "is too large a number"),
        ("dpo", {"lora_r": 10**9}, "must be at most 16384, not 1000000000"),
        ("sft", {"max_steps": 10**400}, "max_steps: is a number of too many digits"),
        (
            "sft",
            {"lr_scheduler_type": "constant", "warmup_ratio": 0.1},
            "warmup_ratio: needs lr_scheduler_type=constant_with_warmup",
        ),
        ("reward", {"score_weights": "preference=-1"}, "name them in objectives as well"),
        ("sft", {"seed": 10**11}, "must be at most 4294967295, not 100000000000"),
        ("sft", {"learning_rate": "fast"}, "must be a number, not 'fast'"),
        ("sft", {"learning_rate": float("nan")}, "must be a number"),
        ("sft", {"learning_rate": 0}, "must be above 0"),
        ("sft", {"bf16": "maybe"}, "must be true or false"),
        ("sft", {"lora_target_modules": 3}, "must be a list of names"),
        ("sft", {"dataset_config": 3}, "must be text"),
        ("dpo", {"loss_type": "exo"}, "is none of sigmoid, sigmoid_norm, robust, hinge, ipo"),
        ("dpo", {"loss_type": "hinge", "label_smoothing": 0.1}, "hinge has no label smoothing"),
        ("dpo", {"loss_type": "kto", "soft_labels": True}, "which have no p"),
        ("dpo", {"loss_type": "robust"}, "label_smoothing: robust needs"),
        ("dpo", {"loss_type": "ipo", "label_smoothing": 0.1}, "ipo has no label smoothing"),
        ("dpo", {"label_smoothing": 0.5}, "must be at most 0.499"),
        ("ppo", {"num_mini_batches": 3}, "must divide the 16 episodes"),
        ("ppo", {"response_length": 2000}, "must leave room for the prompt"),
        ("ppo", {"reward_function": "a:f", "reward_hold_out": True}, "a function has none"),
        ("ppo", {"kl_target": 6, "kl_coef": 0}, "kl_target: multiplies kl_coef"),
        ("grpo", {}, "'grpo' is none of sft, reward, dpo, ppo"),
    ],
)
def test_a_setting_that_cannot_be_used_is_explained(kind: str, mapping: dict, says: str) -> None:
    assert says in message(kind, **mapping)


def test_all_errors_are_reported_together_by_field() -> None:
    with pytest.raises(ConfigError) as error:
        parse_config("dpo", {"betta": 1, "max_steps": "x", "beta": -1})
    assert [e["field"] for e in error.value.errors] == ["betta", "max_steps", "beta"]


def test_torch_is_not_needed() -> None:
    code = "import sys, app.run_config as c; c.describe('ppo'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
