"""Recipes as files: TOML with a line about each setting, or JSON; read back from either."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from app.datasets.schemas import Recipe
from app.errors import Invalid

MOST_BYTES = 1_000_000  # of a file: a thousand people may be named in it


def recipe_toml(recipe: Recipe) -> str:
    """What `touchstone snapshot --recipe FILE` takes; what is not set stands there as a comment."""
    lines = ["# A recipe of Touchstone: which judgements become a dataset, and how."]
    for name, value in recipe.as_json().items():
        about = Recipe.model_fields[name].description
        lines += ["", f"# {about}", _line(name, value)]
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any) -> str:
    """A JSON string is a TOML string as well, and so are numbers, booleans and lists of them.

    Text stays as it is: TOML has no pairs of surrogates; nor does it take a bare DEL.
    """
    if value is None:
        return f"# {name} ="
    spelled = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{name} = {spelled}"


def recipe_json(recipe: Recipe) -> str:
    return json.dumps(recipe.as_json(), indent=2, ensure_ascii=False) + "\n"


def read_recipe(text: str) -> Mapping[str, Any]:
    """The settings in a JSON or TOML text, not yet checked; `Invalid` with where it breaks off."""
    stripped = text.strip().removeprefix("\ufeff")
    if not stripped:
        raise Invalid("There is no recipe in it. Paste one, or choose a file.")
    is_json = stripped.startswith("{")
    try:
        found = json.loads(stripped) if is_json else tomllib.loads(stripped)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if is_json else "TOML"
        raise Invalid(f"This recipe is not valid {kind}: {error}.") from error
    if not isinstance(found, Mapping):
        raise Invalid("A recipe is one object, with names and values.")
    inner = found.get("recipe")  # of a manifest, or the body of a request
    return inner if isinstance(inner, Mapping) else found
