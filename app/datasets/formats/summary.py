"""Counts and figures of a snapshot or a preview, in words and bars for a page."""

from collections.abc import Mapping, Sequence
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
class Stage:
    """A step on the way from judgements to comparisons: how many come in, how many go on.

    parts: (reason or empty for what goes on, share of the whole in per cent, where it begins);
    lines: what is left out, in words.
    """

    name: str
    said: str
    parts: list[tuple[str, float, float]]
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Bar:
    """Prompts with so many comparisons, and which share of all comparisons (per cent) they give."""

    label: str
    prompts: str
    share: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What a recipe gives and leaves out."""

    headline: str
    agreement: str
    configs: list[ConfigLine]
    stages: list[Stage]
    besides: list[str]
    spread: list[Bar]

    @property
    def left_out(self) -> list[str]:
        return [line for stage in self.stages for line in stage.lines] + self.besides

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"left_out": self.left_out}


EMPTY = Summary("", "", [], [], [], [])


def summary(
    counts: Mapping[str, Any], quality: Mapping[str, Any], *, scale: float = 1.0
) -> Summary:
    """`scale`: all prompts over those that were counted; above 1 the numbers are estimates."""
    figures = _Figures(scale)
    tasks, judgements = counts["tasks"], counts["judgements"]
    source = (
        f"From {figures.of(judgements['included'], 'judgement')} of"
        f" {figures.of(tasks['included'], 'task')}."
    )
    return Summary(
        headline=", ".join(_headline(counts, quality, figures)),
        agreement=f"{source} {_agreement(quality)}",
        configs=[
            ConfigLine(
                config.value,
                DESCRIPTIONS[config],
                figures.scaled(rows["train"]),
                figures.scaled(rows["test"]),
            )
            for config in ConfigName  # PostgreSQL keeps no order of keys
            if (rows := counts["rows"].get(config.value))
        ],
        stages=list(_stages(counts, figures)),
        besides=list(_besides(counts, figures)),
        spread=_spread(counts, figures),
    )


class _Figures:
    """Numbers in words: as they are, or scaled up from a sample and rounded."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def scaled(self, number: int) -> int:
        if self.scale <= 1 or not number:
            return number
        estimate = number * self.scale
        digits = max(0, len(str(int(estimate))) - 2)  # two that count
        return int(round(estimate, -digits))

    def plain(self, number: int) -> str:
        about = "about " if self.scale > 1 and number else ""
        return f"{about}{self.scaled(number):,}"

    def of(self, number: int, noun: str) -> str:
        return f"{self.plain(number)} {noun}{'' if self.scaled(number) == 1 else 's'}"


def _headline(
    counts: Mapping[str, Any], quality: Mapping[str, Any], figures: _Figures
) -> list[str]:
    value = quality["percent_agreement"]["value"]
    return [
        figures.of(counts["comparisons"]["included"], "comparison"),
        "agreement not defined" if value is None else f"agreement {value:.2f}",
        _most_left_out(counts, figures),
    ]


def _most_left_out(counts: Mapping[str, Any], figures: _Figures) -> str:
    of_judgements = counts["judgements"]["excluded"]
    of_tasks = counts["tasks"]["excluded"]
    noun, reasons = ("judgement", of_judgements) if of_judgements else ("task", of_tasks)
    if not reasons:
        return "nothing left out"
    most = max(reasons, key=lambda reason: (reasons[reason], reason))
    words = REASONS[most]
    if most == "task_left_out":
        judged = {reason: n for reason, n in of_tasks.items() if reason != "no_judgements"}
        if judged:
            words = f"on tasks {REASONS[max(judged, key=lambda each: (judged[each], each))]}"
    number = figures.of(sum(reasons.values()), noun)
    mostly = ", mostly those" if len(reasons) > 1 else ""
    return f"{number} left out{mostly} {words.partition(':')[0]}"


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


def _stages(counts: Mapping[str, Any], figures: _Figures) -> Sequence[Stage]:
    comparisons = counts["comparisons"]
    stages = []
    if left_out := counts.get("prompts_excluded"):
        stages.append(_stage("prompt", counts["prompts"], left_out, figures, went="taken"))
    judgements, tasks = counts["judgements"], counts["tasks"]
    stages.append(
        _stage("judgement", judgements["included"], judgements["excluded"], figures, went="taken")
    )
    responses = counts.get("responses_excluded", {})
    more = [_line(number, "response", reason, figures) for reason, number in responses.items()]
    stages.append(
        _stage("task", tasks["included"], tasks["excluded"], figures, went="settled", more=more)
    )
    stages.append(
        _stage(
            "comparison", comparisons["included"], comparisons["excluded"], figures, went="written"
        )
    )
    return stages


def _stage(
    noun: str,
    included: int,
    excluded: Mapping[str, int],
    figures: _Figures,
    *,
    went: str,
    more: Sequence[str] = (),
) -> Stage:
    whole = included + sum(excluded.values())
    said = f"{figures.plain(included)} of {figures.plain(whole)} {went}"
    ordered = sorted(excluded.items(), key=lambda item: (-item[1], item[0]))
    parts, begin = [], 0.0
    for reason, number in [("", included), *ordered]:
        width = round(100 * number / whole, 2) if whole else 0.0
        parts.append((reason, width, round(begin, 2)))
        begin += width
    lines = [_line(number, noun, reason, figures) for reason, number in ordered]
    return Stage(f"{noun.capitalize()}s", said, parts, [*more, *lines])


def _line(number: int, noun: str, reason: str, figures: _Figures) -> str:
    words = REASONS[reason]
    if number == 1:
        words = words.replace("that are ties", "that is a tie").replace("that are", "that is")
    return f"{figures.of(number, noun)} {words}"


def _besides(counts: Mapping[str, Any], figures: _Figures) -> Sequence[str]:
    lines = [
        f"{figures.of(number, 'row')} of {config}, because {REASONS[reason]}"
        for config, reasons in counts["refused"].items()
        for reason, number in reasons.items()
    ]
    near = counts.get("near_copies") or {"groups": 0}
    if near["groups"]:  # of so many prompts, and never scaled up: pairs are not
        prompts = f"{near['prompts']:,} of the {near['looked_at']:,} prompts looked at"
        groups = f"{near['groups']:,} group{'' if near['groups'] == 1 else 's'}"
        lines.append(f"{prompts} begin almost like another one: {groups}, all taken")
    if gold := counts["tasks"]["gold_left_out"]:
        questions = figures.of(gold, "gold or qualification question")
        lines.append(f"{questions} and all that was said there")
    return lines


def _spread(counts: Mapping[str, Any], figures: _Figures) -> list[Bar]:
    bars = counts["comparisons"].get("per_prompt", [])
    whole = sum(bar["comparisons"] for bar in bars)
    return [
        Bar(_range(bar), figures.of(bar["prompts"], "prompt"), 100 * bar["comparisons"] / whole)
        for bar in bars
    ]


def _range(bar: Mapping[str, Any]) -> str:
    if bar["to"] is None:
        return f"{bar['from']} or more"
    return str(bar["from"]) if bar["to"] == bar["from"] else f"{bar['from']}–{bar['to']}"
