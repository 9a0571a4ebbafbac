"""Long lists come page by page."""

from typing import Annotated

from fastapi import Query

Cursor = Annotated[
    str | None, Query(pattern=r"^\d{1,9}$", description="`next_cursor` of the page before")
]
Limit = Annotated[int, Query(ge=1, le=1000)]
