"""How far a run is, and how long its updates take."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

PROGRESS = re.compile(r"^new model (\d+)/(\d+)")


def batch_of(config: Mapping[str, Any]) -> int:
    """Examples (of PPO: episodes) behind one update of one process."""
    size = config.get("per_device_train_batch_size") or 1
    return max(1, int(size) * int(config.get("gradient_accumulation_steps") or 1))


def chain_settings(rows: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Settings of a whole chain from a new model, by kind: minutes, and yet something is learnt.

    A small snapshot is passed over often, a large one in part. `rows` as `training_rows` has it.
    """

    def passes(config: str, *, examples: int, at_most: float) -> float:
        return round(min(at_most, examples / max(1, rows.get(config, 0))), 4)

    judged = "ranking" if rows.get("ranking") else "preference"
    return {
        "sft": {"num_train_epochs": passes("sft", examples=1600, at_most=16)},
        "reward": {"num_train_epochs": passes(judged, examples=1600, at_most=3)},
        "dpo": {"num_train_epochs": passes("preference", examples=1600, at_most=4)},
        "ppo": {"total_episodes": 256},
    }


def save_every(total_steps: int) -> int:
    """Steps between checkpoints where nobody chose: about ten per run, so little is ever lost."""
    return max(5, math.ceil(total_steps / 10))


def new_model_steps(size: str, *, corpus_bytes: int) -> int:
    """Updates for a model from scratch: a few passes over a small corpus, more would be idle.

    `corpus_bytes` are of gzip, of which about one makes a token; an update takes 4,096 tokens.
    """
    most = {"tiny": 300, "small": 600}[size]
    return min(most, max(40, math.ceil(8 * corpus_bytes / 4096)))


def making_a_model(said: Sequence[str]) -> str:
    """What a run does before it trains, from the last lines of `new`: `new model 12/45 …`."""
    done = next((found for line in reversed(said) if (found := PROGRESS.search(line))), None)
    where = f" ({done[1]} of {done[2]})" if done else ""
    return f"Making a new language model from the texts of the snapshot{where}"


def new_model_step(said: Sequence[str]) -> int | None:
    """The last update of a new model that is told of."""
    for line in reversed(said):
        if found := PROGRESS.search(line):
            return int(found[1])
    return None


def time_of_steps(seen: Mapping[int, float], *, steps: int) -> float:
    """Seconds for so many steps at the pace between the first and the last that were seen."""
    if len(seen) < 2:
        return 0.0
    first, last = min(seen), max(seen)
    return (seen[last] - seen[first]) / (last - first) * steps


def seconds_left(
    first: tuple[int, float], last: tuple[int, float], *, total_steps: int | None
) -> float | None:
    """Time to go at the pace between two logged steps, each (step, time in seconds)."""
    steps = last[0] - first[0]
    if not total_steps or steps <= 0:
        return None
    return max(0.0, (last[1] - first[1]) / steps * (total_steps - last[0]))


def in_words(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
