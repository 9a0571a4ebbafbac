"""Settings from words and files: described, understood, checked."""

import difflib
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from app.run_config.kinds import CLASSES, FROM_SCRATCH, KINDS
from app.run_config.ppo import PpoConfig
from app.run_config.ppo import contradictions as ppo_contradictions
from app.run_config.settings import DpoConfig, RewardConfig, RunConfig

LARGEST = {int: 1e18, float: 1e30}  # torch counts in 64 bit, and computes in 32


class ConfigError(ValueError):
    """Settings that cannot be used; `errors` names each one: `{"field": …, "message": …}`."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        self.errors = errors
        super().__init__(" ".join(f"{e['field']}: {e['message']}" for e in errors))


def config_class(kind: str) -> type[RunConfig]:
    """The settings of a kind, e.g. `DpoConfig` for "dpo"."""
    if kind not in CLASSES:
        raise ConfigError(
            [{"field": "kind", "message": f"{kind!r} is none of {', '.join(KINDS)}."}]
        )
    return CLASSES[kind]


def defaults(kind: str, *, from_scratch: bool = False) -> dict[str, Any]:
    """Every setting of a kind with its default; `from_scratch` for a model made by `model new`."""
    values = {f.name: f.default for f in fields(config_class(kind)) if f.default is not MISSING}
    return values | (FROM_SCRATCH[kind] if from_scratch else {})


def describe(kind: str) -> list[dict[str, Any]]:
    """One dict per setting, for forms and help: name, type, optional, default, help, limits."""
    hints = get_type_hints(config_class(kind))
    rows = []
    for f in fields(config_class(kind)):
        plain, optional = _plain_type(hints[f.name])
        rows.append(
            {"name": f.name, "type": plain.__name__, "optional": optional, "default": f.default}
            | dict(f.metadata)
        )
    return rows


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """A config as JSON can hold it; `parse_config` reads it back."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}


def parse_config(kind: str, mapping: Mapping[str, Any]) -> RunConfig:
    """Check settings of a kind; strings such as "1e-5" or "true" are understood.

    Raises:
        ConfigError: with one entry per unknown, mistyped or impossible setting.

    """
    cls = config_class(kind)
    known = {f.name: f for f in fields(cls)}
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    errors: list[dict[str, str]] = []
    for name, raw in mapping.items():
        if name not in known:
            errors.append({"field": name, "message": _unknown(name, kind, known)})
            continue
        try:
            values[name] = _checked(known[name], hints[name], raw)
        except ValueError as error:
            errors.append({"field": name, "message": str(error)})
    if not errors:
        config = cls(**values)
        errors = _contradictions(config)
    if errors:
        raise ConfigError(errors)
    return config


def _unknown(name: str, kind: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"no such setting for {kind}; did you mean {near[0]}?"
    others = [k for k, cls in CLASSES.items() if name in {f.name for f in fields(cls)}]
    if others:
        return f"this setting belongs to {' and '.join(others)}, not to {kind}."
    return f"no such setting for {kind}."


def _plain_type(hint: Any) -> tuple[type, bool]:
    """`int | None` → (int, True); `tuple[str, ...]` → (tuple, False)."""
    optional = get_origin(hint) in (Union, types.UnionType)
    if optional:
        hint = next(a for a in get_args(hint) if a is not type(None))
    return get_origin(hint) or hint, optional


def _checked(f: Field[Any], hint: Any, raw: Any) -> Any:
    plain, optional = _plain_type(hint)
    if optional and (raw is None or raw in ("", "none", "null")):
        return None
    value = _converted(plain, raw)
    limits = f.metadata
    if limits["choices"] and value not in limits["choices"]:
        raise ValueError(f"{raw!r} is none of {', '.join(limits['choices'])}.")
    if limits["at_least"] is not None and value < limits["at_least"]:
        raise ValueError(f"must be at least {_written(limits['at_least'])}, not {_written(value)}.")
    if limits["at_most"] is not None and value > limits["at_most"]:
        raise ValueError(f"must be at most {_written(limits['at_most'])}, not {_written(value)}.")
    if limits["above"] is not None and value <= limits["above"]:
        raise ValueError(f"must be above {_written(limits['above'])}, not {_written(value)}.")
    return value


def _written(number: float) -> str:
    """As people write it: a whole number with all of its digits."""
    return str(number) if isinstance(number, int) else f"{number:g}"


def _converted(plain: type, raw: Any) -> Any:
    """The raw value as `plain`, or a ValueError that says what is wanted."""
    if plain is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if isinstance(raw, bool):
            return raw
        if str(raw).lower() in words:
            return words[str(raw).lower()]
        raise ValueError(f"must be true or false, not {raw!r}.")
    if plain is tuple:
        if isinstance(raw, str):
            return tuple(part.strip() for part in raw.split(",") if part.strip())
        if isinstance(raw, list | tuple) and all(isinstance(part, str) for part in raw):
            return tuple(raw)
        raise ValueError(f"must be a list of names, not {raw!r}.")
    if plain in (int, float):
        return _number(plain, raw)
    if not isinstance(raw, str):
        raise ValueError(f"must be text, not {raw!r}.")  # noqa: TRY004 - one kind of error
    return raw


def _number(plain: type, raw: Any) -> Any:
    wanted = "a whole number" if plain is int else "a number"
    try:
        number = float("x" if isinstance(raw, bool) else raw)
    except (TypeError, ValueError):
        raise ValueError(f"must be {wanted}, not {raw!r}.") from None
    except OverflowError:  # JSON has whole numbers that no float holds
        raise ValueError("is a number of too many digits.") from None
    if not math.isfinite(number):
        raise ValueError(f"must be {wanted}, not {raw!r}.")
    if abs(number) > LARGEST[plain]:
        raise ValueError(f"is too large a number; {LARGEST[plain]:g} is the most.")
    if plain is int:
        if number != int(number):
            raise ValueError(f"must be {wanted}, not {raw!r}.")
        return int(number)
    return number


def _contradictions(config: RunConfig) -> list[dict[str, str]]:
    """Settings that are each fine but not together."""
    found: list[dict[str, str]] = []

    def wrong(name: str, message: str) -> None:
        found.append({"field": name, "message": message})

    if config.max_steps == 0:
        wrong("max_steps", "must be at least 1, or -1 to follow num_train_epochs.")
    if config.lr_scheduler_type == "constant":
        for name in ("warmup_steps", "warmup_ratio"):
            if getattr(config, name):
                wrong(name, "needs lr_scheduler_type=constant_with_warmup; constant never rises.")
    if isinstance(config, RewardConfig):
        names = config.objectives
        if len(set(names)) < len(names) or "preference" in names:
            wrong("objectives", "names each criterion once; the preference is always there.")
        try:
            score_weights(config)
        except ValueError as error:
            wrong("score_weights", str(error))
        if config.score_weights and not names:
            wrong("score_weights", "weighs criteria: name them in objectives as well.")
    if config.load_in_4bit and not config.lora_r:
        wrong("load_in_4bit", "4-bit weights are frozen: set lora_r as well, e.g. 16.")
    if isinstance(config, DpoConfig):
        if config.loss_type == "robust" and config.label_smoothing == 0:
            wrong("label_smoothing", "robust needs the assumed share of flipped labels, e.g. 0.1.")
        smooths = config.loss_type in ("sigmoid", "sigmoid_norm", "robust")
        if config.label_smoothing > 0 and not smooths:
            wrong("label_smoothing", f"{config.loss_type} has no label smoothing; leave it at 0.")
        if config.loss_type == "kto" and config.soft_labels:
            wrong("soft_labels", "kto reads rows with a label, which have no p; leave it off.")
    if isinstance(config, PpoConfig):
        for name, message in ppo_contradictions(config):
            wrong(name, message)
    return found


def score_weights(config: RewardConfig, criteria: Sequence[str] | None = None) -> dict[str, float]:
    """What the score is made of, by output: `preference=1, honest=0.5`; else the preference alone.

    `criteria` are those of the data, which `all` stands for.

    Raises:
        ValueError: for what is no output of this reward model, or no number.

    """
    weights: dict[str, float] = {}
    outputs = ("preference", *(config.objectives if criteria is None else criteria))
    for pair in config.score_weights:
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in outputs and "all" not in outputs:
            raise ValueError(f"{name!r} is none of its outputs, which are {', '.join(outputs)}.")
        weights[name] = _number(float, value)
    if weights and not any(weights.values()):
        raise ValueError("would make every score 0; one weight must be another number.")
    return weights or {"preference": 1.0}
