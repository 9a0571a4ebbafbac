"""Runs side by side: what they were asked for, where that differs, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from app.runs.formats.curves import MORE, Chart, charts_of

MOST = 10  # runs beside each other
UNTOLD = frozenset({"time", "epoch"})  # of the last figures
# Of an evaluation: path → label, the share of comparisons first.
EVALUATED = {
    ("accuracy", "value"): "agrees with people",
    ("baseline", "value"): "the longer response wins",
    ("people", "people"): "people agree with each other",
    ("calibration", "ece"): "calibration error",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One run as it takes part in a comparison."""

    id: str
    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: Mapping[str, Any]  # what else was chosen: snapshot, base, …
    metrics: Mapping[str, Any]
    evaluation: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of all runs, in their order; None where a run has no such thing."""

    name: str
    values: list[Any]
    differs: bool


def settings_of(sides: Sequence[Side]) -> list[Line]:
    """Inputs, then settings; those of no run are left out."""
    inputs = [
        _line(name, [side.inputs.get(name) for side in sides]) for name in _names(sides, "inputs")
    ]
    config = [
        _line(name, [side.config.get(name) for side in sides]) for name in _names(sides, "config")
    ]
    return inputs + config


def figures_of(sides: Sequence[Side]) -> list[Line]:
    """The last figures that were logged: those of the curves first, in the order of the charts."""
    shown = dict.fromkeys(chain.from_iterable(chart.curves for chart in charts_together(sides)))
    there = {
        name
        for side in sides
        for name, value in side.metrics.items()
        if _is_number(value) and name not in UNTOLD
    }
    names = [name for name in shown if name in there] + sorted(there - set(shown))
    return [_line(name, [_number(side.metrics.get(name)) for side in sides]) for name in names]


def evaluations_of(sides: Sequence[Side]) -> list[Line]:
    """The main figures of reward models that were evaluated; empty where none was."""
    if not any(side.evaluation for side in sides):
        return []
    lines = [
        _line(label, [_number(_at(side.evaluation, path)) for side in sides])
        for path, label in EVALUATED.items()
    ]
    return [line for line in lines if any(value is not None for value in line.values)]


def charts_together(sides: Sequence[Side]) -> list[Chart]:
    """The charts of all their kinds, each once, the common ones last."""
    found: dict[tuple[str, ...], Chart] = {}
    for side in sides:
        for chart in charts_of(side.kind, side.config):
            found.setdefault((chart.title, *chart.curves), chart)
    return [*found.values(), *MORE]


def _names(sides: Sequence[Side], part: str) -> list[str]:
    """Every name of any of them, in the order in which the first has it."""
    return list(dict.fromkeys(name for side in sides for name in getattr(side, part)))


def _line(name: str, values: list[Any]) -> Line:
    return Line(name, values, differs=any(value != values[0] for value in values[1:]))


def _at(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return value if _is_number(value) else None
