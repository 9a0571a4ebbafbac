"""What PostgreSQL can hold of what a child writes."""

import math
from collections.abc import Mapping
from typing import Any


def storable(value: Any) -> Any:
    """A JSON value as PostgreSQL can hold it: NaN and ∞ become null, NUL a mark."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
