"""What is wrong with a recipe, in words."""

from pydantic import ValidationError

from app.datasets.schemas import Recipe


def field_problems(error: ValidationError) -> list[tuple[str, str]]:
    """(setting, what is wrong with it); the setting is empty where it is about several."""
    found = []
    for item in error.errors():
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"there is no such setting; there are {', '.join(Recipe.model_fields)}"
        found.append((".".join(str(part) for part in item["loc"]), message))
    return found
