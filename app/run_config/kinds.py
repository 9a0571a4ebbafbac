"""The kinds of training, and which settings each has."""

from typing import Any, Literal

from app.run_config.ppo import PpoConfig
from app.run_config.settings import DpoConfig, RewardConfig, RunConfig, SftConfig

Kind = Literal["sft", "reward", "dpo", "ppo"]
KINDS: tuple[Kind, ...] = ("sft", "reward", "dpo", "ppo")

CLASSES: dict[str, type[RunConfig]] = {
    "sft": SftConfig,
    "reward": RewardConfig,
    "dpo": DpoConfig,
    "ppo": PpoConfig,
}

# A model that starts from nothing learns at other rates than one that has seen the world.
FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "sft": {"learning_rate": 1e-3, "num_train_epochs": 3.0},
    "reward": {"learning_rate": 5e-4, "num_train_epochs": 3.0},
    "dpo": {"learning_rate": 5e-5},
    "ppo": {"learning_rate": 1e-4, "response_length": 48, "score_normalization": "reference"},
}
