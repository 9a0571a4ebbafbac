"""Settings of the four kinds of training, one frozen dataclass each.

Standard library only: the launch form shows them, the API checks them and the trainer reads them,
the first two without torch. Names are TRL's wherever TRL has the setting.
"""

from app.run_config.reading import (
    ConfigError,
    config_class,
    defaults,
    describe,
    parse_config,
    score_weights,
    to_mapping,
)
from app.run_config.settings import (
    CLASSES,
    FROM_SCRATCH,
    KINDS,
    DpoConfig,
    Kind,
    PpoConfig,
    RewardConfig,
    RunConfig,
    SftConfig,
    setting,
)

__all__ = [
    "CLASSES",
    "FROM_SCRATCH",
    "KINDS",
    "ConfigError",
    "DpoConfig",
    "Kind",
    "PpoConfig",
    "RewardConfig",
    "RunConfig",
    "SftConfig",
    "config_class",
    "defaults",
    "describe",
    "parse_config",
    "score_weights",
    "setting",
    "to_mapping",
]
