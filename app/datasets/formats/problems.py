"""What is wrong with a recipe, in words."""

from typing import Any

from pydantic import ValidationError

from app.datasets.schemas import Recipe


def field_problems(error: ValidationError) -> list[tuple[str, str]]:
    """(setting, what is wrong with it); the setting is empty where it is about several."""
    return [
        (".".join(str(part) for part in item["loc"]), _in_words(item["type"], item))
        for item in error.errors()
    ]


def _in_words(kind: str, item: Any) -> str:
    limits = item.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return f"there is no such setting; there are {', '.join(Recipe.model_fields)}"
        case "less_than_equal":
            return f"it must be at most {limits['le']:g}"
        case "greater_than_equal":
            return f"it must be at least {limits['ge']:g}"
        case "int_parsing" | "int_from_float" | "int_type":
            return "it must be a whole number"
        case "float_parsing" | "float_type":
            return "it must be a number"
        case "enum":
            return f"it must be {limits['expected']}"
        case "tuple_type":
            return "it must be a list"
        case "datetime_parsing" | "datetime_from_date_parsing" | "datetime_type":
            return "it must be a day or a moment, such as 2026-01-31 or 2026-01-31T12:00:00Z"
    return str(item["msg"]).removeprefix("Value error, ")
