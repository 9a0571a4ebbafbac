"""What the recipe editor shows of a recipe: counts in words, warnings, examples, mistakes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.datasets.formats.problems import field_problems
from app.datasets.formats.summary import EMPTY, summary
from app.datasets.rules.warnings import warnings
from app.datasets.schemas import Recipe
from app.errors import AppError

_LONGEST = 1_200  # characters of a text that is an example
_LONGEST_LINE = 4_000


def shown(
    recipe: Recipe,
    *,
    counts: Mapping[str, Any],
    quality: Mapping[str, Any],
    looked_at: int,
    prompts: int,
    examples: Sequence[Mapping[str, Any]],
    open_tasks: int,
) -> dict[str, Any]:
    """`sample`: how much of the project the numbers rest on, None where it is all of it."""
    is_sample = looked_at < prompts
    return {
        **summary(
            counts, quality, scale=prompts / looked_at if is_sample and looked_at else 1.0
        ).as_json(),
        "sample": (
            f"Estimated from {looked_at:,} of {prompts:,} prompts, as good as drawn at random."
            if is_sample
            else None
        ),
        "warnings": warnings(counts, quality, recipe=recipe.as_json(), open_tasks=open_tasks),
        "examples": [_example(row) for row in examples],
        "errors": [],
    }


def mistakes(error: ValidationError | AppError) -> dict[str, Any]:
    """The same with nothing in it but what is wrong, by field."""
    problems = [("", error.detail)] if isinstance(error, AppError) else field_problems(error)
    return {
        **EMPTY.as_json(),
        "sample": None,
        "warnings": [],
        "examples": [],
        "errors": [{"field": field, "message": message} for field, message in problems],
    }


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison to look at, and the line that would be written; both cut where they are long."""
    return {
        "prompt": _clipped(row["prompt"][-1]["content"] if row["prompt"] else ""),
        "turns": len(row["prompt"]),
        "chosen": _clipped(row["chosen"][-1]["content"]),
        "rejected": _clipped(row["rejected"][-1]["content"]),
        "figures": [
            (name, row[name])
            for name in ("p", "agreement", "weight", "margin", "strength", "n_annotators")
            if row[name] is not None
        ],
        "line": _clipped(json.dumps(row, ensure_ascii=False, indent=1), _LONGEST_LINE),
    }


def _clipped(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest].rstrip()} …"
