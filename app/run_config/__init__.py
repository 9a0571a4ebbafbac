"""Settings of the four kinds of training, one frozen dataclass each.

Standard library only: the launch form shows them, the API checks them and the trainer reads them,
the first two without torch. Names are TRL's wherever TRL has the setting.
"""

from app.run_config.fields import setting
from app.run_config.kinds import CLASSES, FROM_SCRATCH, KINDS, Kind
from app.run_config.monitors import MonitorSettings
from app.run_config.ppo import PpoConfig
from app.run_config.reading import (
    ConfigError,
    config_class,
    defaults,
    describe,
    parse_config,
    score_weights,
    to_mapping,
)
from app.run_config.settings import DpoConfig, RewardConfig, RunConfig, SftConfig
from app.run_config.steps import batch_size, total_steps

__all__ = [
    "CLASSES",
    "FROM_SCRATCH",
    "KINDS",
    "ConfigError",
    "DpoConfig",
    "Kind",
    "MonitorSettings",
    "PpoConfig",
    "RewardConfig",
    "RunConfig",
    "SftConfig",
    "batch_size",
    "config_class",
    "defaults",
    "describe",
    "parse_config",
    "score_weights",
    "setting",
    "to_mapping",
    "total_steps",
]
