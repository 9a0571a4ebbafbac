"""How a run may change, what it may build on and what it reads.

States and kinds are their plain words here; `app.db.JobState` and `RunKind` compare equal to them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import Conflict, Invalid
from app.run_config import DpoConfig, RewardConfig, RunConfig, describe

# From each state to those it may become. A lost or stopped attempt goes back to the queue.
MOVES: dict[str, frozenset[str]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
    "succeeded": frozenset(),
}

NAMES = {"sft": "SFT", "reward": "Reward model", "dpo": "DPO", "ppo": "PPO"}
ABOUT = {
    "sft": "Supervised fine-tuning: the model learns to write like the best responses.",
    "reward": "A reward model learns to give the score that people's judgements imply.",
    "dpo": "Direct preference optimisation: the model learns to prefer what people preferred.",
    "ppo": "The model writes, the reward model scores, and the model moves towards high scores.",
}
WRITERS = frozenset({"sft", "dpo", "ppo"})  # kinds whose checkpoint writes text

# What each kind reads from a dataset folder, best first (contract §5).
READS: dict[str, tuple[str, ...]] = {
    "sft": ("sft",),
    "reward": ("ranking", "preference"),
    "dpo": ("preference",),
    "kto": ("unpaired",),
    "ppo": ("prompts",),
}
WHY_MISSING = {
    "sft": "It is made of rewrites and best responses: judge some tasks first.",
    "ranking": "It is made of judged tasks: judge some first.",
    "preference": "It is made of judged pairs with a clear winner: judge some tasks first.",
    "unpaired": "It is made of judged responses: judge some tasks first.",
    "prompts": "It is made of the project's prompts: import some first.",
}


def can_move(state: str, to: str) -> bool:
    return to in MOVES[state]


def is_writer(kind: str) -> bool:
    """Whether a checkpoint of this kind writes text (a reward model only scores it)."""
    return kind in WRITERS


def check_base_kind(kind: str, base_kind: str) -> None:
    """`Invalid` unless a run of `kind` may start from a checkpoint of `base_kind`."""
    if kind == "reward" or is_writer(base_kind):
        return
    raise Invalid(
        f"{NAMES[kind]} trains a model that writes, but this checkpoint is a reward model, which "
        "only scores. Choose a checkpoint of SFT, DPO or PPO as the base."
    )


def check_reward(kind: str, *, has_reward: bool) -> None:
    """PPO needs a reward model, nothing else has a use for one."""
    if kind == "ppo" and not has_reward:
        raise Invalid("PPO needs a reward model: train one and name it as reward_checkpoint_id.")
    if kind != "ppo" and has_reward:
        raise Invalid(f"Only PPO uses a reward model. Leave it out for {NAMES[kind]}.")


def check_from_afar(kind: str, given: Mapping[str, Any]) -> None:
    """`Invalid` for a setting that only the command line may have: it runs code on the worker."""
    for row in describe(kind):
        if row["local"] and given.get(row["name"]):
            name = row["name"]
            message = (
                f"{name} runs code on the machine that trains, so it can be given on the command "
                f"line alone: touchstone train {kind} … --set {name}=…"
            )
            raise Invalid(message, errors=[{"field": f"config.{name}", "message": message}])


def dataset_config(kind: str, config: RunConfig, *, available: Iterable[str]) -> str:
    """The folder of the snapshot that the run reads; `Invalid` where there is none that fits."""
    there = sorted(set(available))
    if isinstance(config, RewardConfig) and config.objectives and "ratings" not in there:
        raise Invalid(
            "objectives learn from the ratings of a snapshot, and this one has none. Let people "
            "rate responses by criteria first, or leave objectives empty."
        )
    purpose = "kto" if isinstance(config, DpoConfig) and config.loss_type == "kto" else kind
    wanted = (config.dataset_config,) if config.dataset_config else READS[purpose]
    for name in wanted:
        if name in there:
            return name
    has = f"It has {', '.join(there)}." if there else "It has no rows at all."
    raise Invalid(
        f"{NAMES[kind]} reads the {' or '.join(wanted)} data of a snapshot, and this one has none. "
        f"{has} {WHY_MISSING.get(wanted[-1], '')}".strip()
    )


def changed_settings(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not at their default, in the order they are declared."""
    return {name: value for name, value in config.items() if value != _as_json(defaults.get(name))}


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def field_of(error: str, config: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """The field of the launch form that an error of the trainer belongs to; empty for none.

    A setting that it names comes first, then the model it was given, then the data.
    """
    words = re.findall(r"[a-z][a-z0-9_]+", error)
    if named := next((word for word in words if word in config and "_" in word), None):
        return f"config.{named}"
    model = str(base.get("model") or "")
    if "--model" in error or (model and model in error):
        return "model" if model else "base"
    return "snapshot_id" if {"dataset", "rows", "row", "data"} & set(words) else ""


def must_be_final(state: str, *, what: str = "run") -> None:
    """`Conflict` with the reason unless a run (or the like) in this state can be resumed."""
    if can_move(state, "queued") and state != "running":
        return
    if state == "succeeded":
        raise Conflict(f"This {what} has succeeded; there is nothing to resume.")
    raise Conflict(f"This {what} is {state} already.")
