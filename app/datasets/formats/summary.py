"""Counts and figures of a snapshot or a preview, in words for a page."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.datasets.formats.card import DESCRIPTIONS
from app.datasets.rules.counts import REASONS
from app.datasets.rules.rows import ConfigName


@dataclass(frozen=True, slots=True)
class ConfigLine:
    name: str
    about: str
    train: int
    test: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a recipe gives and leaves out."""

    headline: str
    agreement: str
    configs: list[ConfigLine]
    left_out: list[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summary(counts: Mapping[str, Any], quality: Mapping[str, Any]) -> Summary:
    tasks, judgements = counts["tasks"], counts["judgements"]
    headline = (
        f"{_number(counts['comparisons']['included'], 'comparison')} from"
        f" {_number(judgements['included'], 'judgement')} of {_number(tasks['included'], 'task')}"
    )
    return Summary(
        headline=headline,
        agreement=_agreement(quality),
        configs=[
            ConfigLine(config.value, DESCRIPTIONS[config], rows["train"], rows["test"])
            for config in ConfigName  # PostgreSQL keeps no order of keys
            if (rows := counts["rows"].get(config.value))
        ],
        left_out=_left_out(counts),
    )


def _agreement(quality: Mapping[str, Any]) -> str:
    figure = quality["percent_agreement"]
    if figure["value"] is None:
        return f"Agreement is not defined. {figure['reason']}"
    interval = (
        f" ({100 * figure['low']:.0f}–{100 * figure['high']:.0f})"
        if figure["low"] is not None
        else ""
    )
    alpha = quality["krippendorff_alpha"]
    said = f"People agree on {100 * figure['value']:.0f} %{interval} of shared comparisons"
    if alpha["value"] is not None:
        said += f"; Krippendorff's alpha is {alpha['value']:.2f}"
    return f"{said}."


def _left_out(counts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{_number(number, kind.removesuffix('s'))} {REASONS[reason]}"
        for kind in ("judgements", "tasks", "comparisons")
        for reason, number in counts[kind]["excluded"].items()
    ]
    lines += [
        f"{_number(number, 'row')} of {config}, because {REASONS[reason]}"
        for config, reasons in counts["refused"].items()
        for reason, number in reasons.items()
    ]
    if gold := counts["tasks"]["gold_left_out"]:
        lines.append(
            f"{_number(gold, 'gold or qualification question')} and all that was said there"
        )
    return lines


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
