"""How many updates a run makes over so many training rows."""

import math

from app.run_config.ppo import PpoConfig
from app.run_config.settings import RunConfig


def batch_size(config: RunConfig, processes: int = 1) -> int:
    """Examples (of PPO: episodes) in one update, over all processes."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * processes


def total_steps(config: RunConfig, rows: int, *, processes: int = 1) -> int:
    """`max_steps`, else as many episodes or passes over the rows as are wanted.

    The last update of a pass may have fewer rows than the others.
    """
    if config.max_steps > 0:
        return config.max_steps
    each = config.group if isinstance(config, PpoConfig) else 1  # responses to a prompt
    batch, rows = batch_size(config, processes) // each, max(1, rows)
    per_pass = math.ceil(rows / batch)
    if isinstance(config, PpoConfig) and config.total_episodes:
        passes, left = divmod(math.ceil(config.total_episodes / each), rows)
        return passes * per_pass + math.ceil(left / batch)
    return max(1, math.ceil(config.num_train_epochs * per_pass))
