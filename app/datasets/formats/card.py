"""The dataset card: YAML that `datasets.load_dataset` reads, and what a person should know."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from app.datasets.formats.columns import features
from app.datasets.formats.files import WrittenFile
from app.datasets.rules.counts import REASONS
from app.datasets.rules.origins import language_tags, licence_fields, shares
from app.datasets.rules.rows import ConfigName, Dedup, WeightBy
from app.datasets.schemas import Margin, Method, NearDuplicates, Recipe, Ties

DESCRIPTIONS = {
    ConfigName.PREFERENCE: "explicit prompt, chosen and rejected response, as TRL reads them",
    ConfigName.HH_RLHF: "the same comparisons as transcripts with Human and Assistant turns",
    ConfigName.RANKING: "all responses of a task with their ranks (1 = best, equal = tie)",
    ConfigName.UNPAIRED: "single responses with a label: better or worse in all its comparisons",
    ConfigName.RATINGS: "mean ratings of each response by criterion",
    ConfigName.SFT: "conversations to imitate: what people rewrote, else the top response",
    ConfigName.PROMPTS: "prompts alone, for PPO and generation",
}
_INTRODUCTION = """\
Judgements of model responses, frozen by Touchstone. `manifest.json` holds the recipe, all counts,
the SHA-256 of every file and the judgements behind each prompt."""
_SPLIT = """\
The split hashes the letters and digits of the first user turn (NFKC, case folded): a conversation,
its continuations and whatever differs from it in white space, case, punctuation or system prompt
are always on one side. Where a small dataset has all of its comparisons on one side by chance, the
conversation nearest to the border changes over. Rows are sorted by their ids, which are SHA-256
hashes of the content."""
_EVEN_VOTE = "An even vote is\nunresolved and never a preference."
_COLUMNS = """\
`p` is (wins + half the ties) / votes of the chosen response, `agreement` the share of the
judgements that say what the consensus says. Labels that came with the data decide only where no
person judged."""
_WEIGHTS = {
    WeightBy.TASK: "`weight` is one over the comparisons taken from the task.",
    WeightBy.PROMPT: "`weight` is one over the comparisons taken from the prompt.",
}
_SAME_TEXTS = "Texts that differ in case or white space alone count as the same."
_METHODS = {
    Method.MAJORITY: "the majority of the decisive judgements",
    Method.DAWID_SKENE: "the likeliest answer given how reliable each annotator is"
    " (Dawid and Skene 1979); `p` is its posterior",
    Method.ADJUDICATED_FIRST: "a reviewer's adjudication where there is one, else the majority",
}
_FIGURES = {
    "percent_agreement": "pairs of judgements that say the same (with ties)",
    "percent_agreement_no_ties": "the same, decisive judgements only",
    "krippendorff_alpha": "Krippendorff's alpha of implied pairs (nominal, in the order of ids)",
}


def card(
    *,
    recipe: Recipe,
    counts: Mapping[str, Any],
    quality: Mapping[str, Any],
    files: Sequence[WrittenFile],
    criteria: Sequence[str],
    groups: Mapping[str, int] | None = None,
) -> str:
    """The text of README.md. It holds nothing that differs between equal datasets.

    groups: how many of the people behind it describe themselves so; only what names nobody.
    """
    configs = list(dict.fromkeys(file.config for file in files))
    parts = [
        "---",
        *yaml_lines(
            {
                **licence_fields(recipe.license),
                **_languages(counts),
                **_metadata(files, configs, criteria, by_people=quality["n_annotators"] > 0),
            }
        ),
        "---",
        "",
        "# Preference dataset",
        "",
        _INTRODUCTION,
        "",
        *_table(counts, configs, recipe.near_duplicates),
        "",
        *_making(recipe),
        "",
        *_origins(counts, recipe.license),
        *_left_out(counts),
        "",
        *_agreement(quality),
        *_groups(groups or {}),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _metadata(
    files: Sequence[WrittenFile],
    configs: Sequence[ConfigName],
    criteria: Sequence[str],
    *,
    by_people: bool,
) -> dict[str, Any]:
    rows = Counter[ConfigName]()
    for file in files:
        rows[file.config] += file.rows
    return {
        "pretty_name": "Preference dataset",
        "annotations_creators": ["crowdsourced" if by_people else "found"],
        "task_categories": ["text-generation"],
        "tags": ["preference", "human-feedback", "rlhf", "dpo"],
        "size_categories": [_size(max(rows.values(), default=0))],
        "configs": [
            {
                "config_name": config.value,
                **({"default": True} if config is configs[0] else {}),
                "data_files": [
                    {"split": file.split.value, "path": file.path}
                    for file in files
                    if file.config is config
                ],
            }
            for config in configs
        ],
        "dataset_info": [
            {"config_name": config.value, "features": features(config, criteria=criteria)}
            for config in configs
        ],
    }


def _size(rows: int) -> str:
    """As the hub sorts data sets: by powers of ten."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    for exponent, name in enumerate(names, 3):
        if rows < 10**exponent:
            return f"n<{name}" if exponent == 3 else f"{names[exponent - 4]}<n<{name}"
    return "1B<n<10B"


_NEAR = {
    NearDuplicates.KEEP: [],
    NearDuplicates.TOGETHER: [
        "Conversations that begin almost alike (triples of words, Jaccard 0.7 or more, found by",
        "MinHash) are on one side as well.",
    ],
    NearDuplicates.DROP: [
        "Of prompts that ask almost the same (triples of words, Jaccard 0.7 or more, found by",
        "MinHash) one is kept; conversations that begin almost alike are on one side.",
    ],
}


def _table(
    counts: Mapping[str, Any], configs: Sequence[ConfigName], near: NearDuplicates
) -> list[str]:
    lines = ["| config | what a row is | train | test |", "|---|---|---:|---:|"]
    for config in configs:
        rows = counts["rows"][config.value]
        lines.append(
            f"| `{config.value}` | {DESCRIPTIONS[config]} | {rows['train']:,} | {rows['test']:,} |"
        )
    return [
        *lines,
        "",
        _SPLIT,
        *_NEAR[near],
    ]


def _making(recipe: Recipe) -> list[str]:
    ties = (
        "Ties are kept in `ranking`; they are never a preference."
        if recipe.ties is Ties.KEEP
        else "Ties are dropped: a ranking with equal responses is written as several without."
    )
    margin = (
        "`margin` is the mean signed strength over the levels of the scale."
        if recipe.margin is Margin.STRENGTH
        else "`margin` is 0."
    )
    return [
        "## How it was made",
        "",
        f"Several judgements of a task become one by {_METHODS[recipe.consensus]}. {_EVEN_VOTE}",
        f"Pairs taken from a ranking: {recipe.pairs.value}. {ties} {margin}",
        "",
        _COLUMNS,
        _WEIGHTS[recipe.weight_by]
        + (f" {_SAME_TEXTS}" if recipe.dedup is Dedup.NORMALISED else ""),
        *_filters(recipe),
    ]


def _languages(counts: Mapping[str, Any]) -> dict[str, Any]:
    tags = language_tags(counts["origins"]["languages"])
    return {"language": tags} if tags else {}


def _origins(counts: Mapping[str, Any], licence: str | None) -> list[str]:
    """Licence, and languages and sources by their share of the prompts."""
    lines = [
        "## Where it comes from",
        "",
        f"Licence of the data: {_listed([licence])}."
        if licence
        else "No licence is stated: ask whoever gave you the data what you may do with it.",
        "",
    ]
    for kind in ("languages", "sources"):
        origin = counts["origins"][kind]
        if not origin["named"]:
            continue
        lines += [f"| {kind[:-1]} of the prompt | prompts | share |", "|---|---:|---:|"]
        lines += [
            f"| {_cell(name)} | {number:,} | {share:.1f} % |"
            for name, number, share in shares(origin)
        ]
        lines.append("")
    return lines


def _listed(words: Sequence[str]) -> str:
    """Words of people as code: nothing in them becomes Markdown."""
    return ", ".join(f"`{' '.join(word.split()).replace('`', chr(39))}`" for word in words)


def _filters(recipe: Recipe) -> list[str]:
    """What the recipe asks of prompts and responses, where it asks for anything."""
    lines = [
        f"Only prompts with one of these {name}: {_listed(words)}."
        for name, words in (
            ("sources", recipe.sources),
            ("tags", recipe.tags),
            ("languages", recipe.languages),
        )
        if words
    ]
    if recipe.people_only:
        lines.append("Labels that came with the data were left out.")
    if recipe.adjudicated_only:
        lines.append("Only tasks that a reviewer settled.")
    if recipe.exclude_flags:
        lines.append(
            f"Responses that somebody flagged as {_listed(recipe.exclude_flags)} were left out."
        )
    if recipe.min_response_length:
        lines.append(
            f"Responses of fewer than {recipe.min_response_length:,} characters were left out."
        )
    return lines


def _left_out(counts: Mapping[str, Any]) -> list[str]:
    lines = ["## What was left out", ""]
    for kind in ("prompts", "responses"):
        lines += [
            f"- {number:,} {kind} {REASONS[reason]}"
            for reason, number in counts.get(f"{kind}_excluded", {}).items()
        ]
    for kind in ("judgements", "tasks", "comparisons"):
        lines += [
            f"- {number:,} {kind} {REASONS[reason]}"
            for reason, number in counts[kind]["excluded"].items()
        ]
    for config, reasons in counts["refused"].items():
        lines += [
            f"- {number:,} rows of `{config}`, because {REASONS[reason]}"
            for reason, number in reasons.items()
        ]
    lines.append("- Gold and qualification questions, and every judgement of one.")
    return lines


def _agreement(quality: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Who judged, and how well they agree",
        "",
        (
            f"{quality['n_annotations']:,} judgements by {quality['n_annotators']:,} people on"
            f" {quality['n_tasks']:,} tasks, before tasks were left out for too little agreement."
        ),
        "",
        "| figure | value | 95 % interval |",
        "|---|---:|---|",
    ]
    for name, meaning in _FIGURES.items():
        figure = quality[name]
        if figure["value"] is None:
            lines.append(f"| {meaning} | not defined | {figure['reason']} |")
        else:
            has_interval = figure["low"] is not None
            interval = f"{figure['low']:.3f} – {figure['high']:.3f}" if has_interval else "none"
            lines.append(f"| {meaning} | {figure['value']:.3f} | {interval} |")
    return lines


def _groups(groups: Mapping[str, int]) -> list[str]:
    if not groups:
        return []
    return [
        "",
        "| how people describe themselves | people |",
        "|---|---:|",
        *(f"| {_cell(name)} | {number:,} |" for name, number in groups.items()),
        "",
        (
            "Groups of fewer than five people, and those that leave fewer than five others, are not"
            " shown."
        ),
    ]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def yaml_lines(value: Any, indent: int = 0) -> list[str]:
    """Block YAML of dicts, lists and scalars. Strings are quoted as JSON, which YAML reads."""
    blank = " " * indent
    if isinstance(value, Mapping):
        lines = []
        for key, inner in value.items():
            if isinstance(inner, Mapping | list) and inner:
                lines += [f"{blank}{key}:", *yaml_lines(inner, indent + 2)]
            else:
                lines.append(f"{blank}{key}: {_scalar(inner)}")
        return lines
    lines = []
    for item in value:
        if isinstance(item, Mapping | list) and item:
            first, *rest = yaml_lines(item, indent + 2)
            lines += [f"{blank}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{blank}- {_scalar(item)}")
    return lines


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
