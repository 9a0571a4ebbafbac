"""A recipe in a file, for the command line: JSON or TOML."""

import json
import tomllib
from pathlib import Path

from pydantic import ValidationError

from app.datasets.schemas import Recipe
from app.errors import Invalid


def read_recipe(path: Path) -> Recipe:
    """The recipe in a `.toml` or JSON file; `Invalid` says which setting is wrong and why."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # bad UTF-8, JSON or TOML
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise Invalid(f"{path} is not {kind}: {error}.") from error
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise Invalid(f"{path}: {recipe_problems(error)}") from error


def recipe_problems(error: ValidationError) -> str:
    """What is wrong with which setting, in one line."""
    return "; ".join(
        f"{field}: {message}" if field else message for field, message in field_problems(error)
    )


def field_problems(error: ValidationError) -> list[tuple[str, str]]:
    """(setting, what is wrong with it); the setting is empty where it is about several."""
    found = []
    for item in error.errors():
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"there is no such setting; there are {', '.join(Recipe.model_fields)}"
        found.append((".".join(str(part) for part in item["loc"]), message))
    return found
