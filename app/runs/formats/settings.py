"""The settings of a kind as a form shows them, and as it sends them back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.run_config import FROM_SCRATCH, describe

PREFIX = "set."  # of the settings among the fields of the form

COMMON = ("learning_rate", "num_train_epochs", "per_device_train_batch_size")
IMPORTANT = {
    "sft": (*COMMON, "max_length", "lora_r"),
    "reward": (*COMMON, "ranking_loss", "lora_r"),
    "dpo": ("beta", "loss_type", *COMMON, "lora_r"),
    "ppo": ("algorithm", "kl_coef", "kl_budget", "response_length", *COMMON, "num_ppo_epochs"),
}
HIDDEN = {"reward_model_path", "monitor_reward_model_path"}  # the first is chosen as a checkpoint
GROUPS = {
    "training": "Training",
    "reward": "Reward",
    "rollout": "Writing",
    "monitors": "Monitors",
    "optimiser": "Optimiser",
    "lora": "Adapters (LoRA)",
    "data": "Data",
    "output": "Logs, checkpoints and samples",
    "judging": "Criteria and ensembles",
    "memory": "Memory",
}


@dataclass(frozen=True, slots=True)
class SettingField:
    """One setting: what it does, what it is when nobody chooses, and what was typed."""

    name: str
    help: str
    default: str
    from_scratch: str | None  # the default after a model made from scratch, where it differs
    choices: tuple[str, ...]
    value: str


def setting_groups(
    kind: str, given: Mapping[str, str]
) -> tuple[list[SettingField], list[tuple[str, list[SettingField]]]]:
    """The important settings, and the others by group."""
    rows = {
        row["name"]: row for row in describe(kind) if row["name"] not in HIDDEN and not row["local"]
    }
    fields = {
        name: _field(row, FROM_SCRATCH[kind].get(name), given.get(name, ""))
        for name, row in rows.items()
    }
    important = [fields[name] for name in IMPORTANT[kind]]
    groups: dict[str, list[SettingField]] = {label: [] for label in GROUPS.values()}
    for name, row in rows.items():
        if name not in IMPORTANT[kind]:
            groups.setdefault(GROUPS.get(row["group"], row["group"]), []).append(fields[name])
    return important, [(label, group) for label, group in groups.items() if group]


def given_settings(fields: Mapping[str, Any]) -> dict[str, str]:
    """What was typed into the form; what was left empty keeps its default."""
    return {
        name.removeprefix(PREFIX): str(value).strip()
        for name, value in fields.items()
        if name.startswith(PREFIX) and str(value).strip()
    }


def typed_settings(
    kind: str, config: Mapping[str, Any], usual: Mapping[str, Any]
) -> dict[str, str]:
    """The settings of a run that differ from `usual`, as they are typed into the form."""
    names = {row["name"] for row in describe(kind) if not row["local"]} - HIDDEN
    return {
        name: _typed(value)
        for name, value in config.items()
        if name in names and value != _as_json(usual.get(name))
    }


def changed_for(change: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for another try: `smaller` needs less memory, `slower` takes smaller steps."""
    batch = int(config.get("per_device_train_batch_size") or 1)
    if change == "smaller" and batch > 1:
        steps = int(config.get("gradient_accumulation_steps") or 1)
        return {
            "per_device_train_batch_size": batch // 2,
            "gradient_accumulation_steps": math.ceil(batch * steps / (batch // 2)),
        }
    if change == "smaller":
        return {"gradient_checkpointing": True}
    if change == "slower" and config.get("learning_rate"):
        return {"learning_rate": float(f"{float(config['learning_rate']) / 3:.2g}")}
    return {}


def _typed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _field(row: Mapping[str, Any], from_scratch: Any, value: str) -> SettingField:
    choices = row["choices"] or (("true", "false") if row["type"] == "bool" else ())
    return SettingField(
        name=row["name"],
        help=row["help"],
        default=_in_words(row["default"]),
        from_scratch=None if from_scratch is None else _in_words(from_scratch),
        choices=tuple(choices),
        value=value,
    )


def _in_words(value: Any) -> str:
    if value is None or value == ():
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
