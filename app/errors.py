"""The errors that reach people; one handler (`app.web`) makes each a page or a problem document."""

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class AppError(Exception):
    """A sentence for the person who asked, and the HTTP status that goes with it."""

    status = 500
    title = "Something went wrong"

    def __init__(self, detail: str, *, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)


class Unauthenticated(AppError):
    status = 401
    title = "Please sign in"


class Forbidden(AppError):
    status = 403
    title = "Not allowed"


class NotFound(AppError):
    status = 404
    title = "Not found"

    def __init__(self, detail: str = "There is nothing here, or it is not yours to see.") -> None:
        super().__init__(detail)


class Conflict(AppError):
    status = 409
    title = "That has changed meanwhile"


class TooLarge(AppError):
    status = 413
    title = "Too large"


class NoRoom(AppError):
    status = 507
    title = "No room"


class Invalid(AppError):
    status = 422
    title = "That does not work"


class TooManyRequests(AppError):
    status = 429
    title = "Too many tries"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class LeaseLost(Exception):
    """Another attempt holds the row: stop, write nothing, repair nothing."""


class Stopped(Exception):
    """The worker ends, or lost its database: what it worked on goes back into the queue."""


def found(row: T | None) -> T:
    """The row, or a 404 when there is none."""
    if row is None:
        raise NotFound
    return row
