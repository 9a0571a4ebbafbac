"""The model card, completed: the trainer tells how it was trained, this where it comes from."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.datasets.rules.origins import licence_fields
from app.runs.queries.story import Story

HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
BEFORE = "\n## Figures at the end\n"


def complete_card(model: Path, story: Story) -> None:
    """Write the whole card into the model's folder, before its files are hashed."""
    file = model / "README.md"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    file.write_text(completed(text, story), encoding="utf-8")


def completed(text: str, story: Story) -> str:
    """The card with the head that the hub reads, and with what the database knows."""
    head, body = _apart(text)
    head.pop("base_model", None)  # a folder of the worker; the hub wants a name it knows
    head.pop("datasets", None)
    if story.base is not None and HUB_ID.fullmatch(story.base):
        head["base_model"] = story.base
    head |= licence_fields(story.licence)
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    origin = "\n".join(_origin(story))
    body = body or f"# {story.snapshot}\n"
    before, found, after = body.partition(BEFORE)
    whole = f"{before.rstrip()}\n\n{origin}\n{found}{after}"
    return "\n".join(["---", *lines, "---", "", whole.strip()]) + "\n"


def _apart(text: str) -> tuple[dict[str, Any], str]:
    """The head, whose values are JSON, and the rest with the trainer's own paths taken out."""
    if not text.startswith("---\n"):
        return {"library_name": "transformers", "tags": ["touchstone"]}, text
    head, _, body = text[4:].partition("\n---\n")
    pairs = (line.partition(": ") for line in head.splitlines() if ": " in line)
    told = {key: json.loads(value) for key, _, value in pairs}
    return told, re.sub(r"(?m)^Trained from `.*$\n?", "", body)


def _origin(story: Story) -> Iterator[str]:
    counts = story.counts
    yield "## Where it comes from"
    yield ""
    reward = f", with “{story.reward}” as the reward" if story.reward else ""
    yield f"Trained from {story.began} on the snapshot “{story.snapshot}” of the project"
    yield f"“{story.project}” by Touchstone{reward}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in _facts(story, counts):
        yield f"| {name} | {value} |"
    yield ""
    yield "## Limits"
    yield ""
    yield "It learned what these people preferred under these guidelines, and nothing says that"
    yield "others would prefer the same. Where they agreed little, it had little to learn from."
    yield "Its figures hold for prompts like those of the snapshot; try it on your own first."


def _facts(story: Story, counts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    judgements = counts.get("judgements", {}).get("included")
    if judgements is not None:
        yield "judgements", f"{judgements:,}"
    yield "annotators", f"{story.annotators:,}" if story.annotators else "none: labels of the data"
    if story.agreement:
        value, low, high = story.agreement
        interval = "" if low is None or high is None else f" ({low:.0%} to {high:.0%})"
        yield "they agree in", f"{value:.0%} of the pairs{interval}"
    else:
        yield "agreement", "not defined: no task was judged by two people"
    if story.guidelines:
        said = ", ".join(f"version {version} ({number:,})" for version, number in story.guidelines)
        yield "guidelines (judgements)", said
    if story.sources:
        yield "sources of the prompts", _cell(", ".join(story.sources[:20]))
    yield "licence of the data", _cell(story.licence or "not named: ask before you publish")
    if story.written_by:
        yield "responses were written by", _cell(", ".join(story.written_by))
    if story.identity:
        yield "identity of the data", f"`{story.identity}`"
    yield "snapshot", f"`{story.snapshot_id}`"
    yield "run", f"`{story.run_id}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
