"""What a reviewer asks of the queue, and what the API answers."""

from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from app.projects.schemas import storable
from app.quality.rules.queue import Order, State

EVERY_STATE = "all"
LAST_DAY = date(2999, 12, 31)  # a day has a next one


def _empty_is_none(value: Any) -> Any:
    """A field that somebody left empty asks for nothing."""
    return None if value == "" else value


def _text(value: Any) -> Any:
    return storable(value).strip() if isinstance(value, str) else value


Words = Annotated[str, StringConstraints(max_length=200), BeforeValidator(_text)]


class QueueFilters(BaseModel):
    """Which tasks, and in which order; `state` None: whatever their state."""

    order: Order = Order.DISAGREEMENT
    state: Annotated[
        State | None, BeforeValidator(lambda value: None if value == EVERY_STATE else value)
    ] = State.OPEN
    source: Words = ""
    tag: Words = ""
    version: Annotated[int | None, Field(ge=1, le=2**31 - 1), BeforeValidator(_empty_is_none)] = (
        None
    )
    annotator: Annotated[UUID | None, BeforeValidator(_empty_is_none)] = None
    day: Annotated[date | None, Field(le=LAST_DAY), BeforeValidator(_empty_is_none)] = None
    search: Words = ""

    def with_state(self, state: State | None) -> str:
        """The same question about tasks in another state, for an address."""
        return self.model_copy(update={"state": state}).query

    @property
    def query(self) -> str:
        """These filters in an address, without those that ask for nothing."""
        asked: dict[str, str] = {}
        for name in QueueFilters.model_fields:
            value, usual = getattr(self, name), QueueFilters.model_fields[name].default
            if value != usual:
                asked[name] = EVERY_STATE if name == "state" and value is None else str(value)
        return urlencode(asked)

    @property
    def narrows(self) -> bool:
        """Whether anything but order and state is asked."""
        return bool(
            self.source or self.tag or self.version or self.annotator or self.day or self.search
        )


class QueuePage(QueueFilters):
    """`after`: the place in the queue behind which a page begins."""

    after: Annotated[str, StringConstraints(max_length=80)] = ""


class ReviewPage(QueueFilters):
    """A task on its way through the queue; `said`: what has just been done."""

    said: Annotated[str, StringConstraints(pattern=r"^[a-z_]{0,20}$")] = ""


class TaskQuery(QueueFilters):
    """`GET /projects/{id}/tasks`: every state unless one is named."""

    state: Annotated[
        State | None, BeforeValidator(lambda value: None if value == EVERY_STATE else value)
    ] = None
    cursor: Annotated[str | None, StringConstraints(max_length=80)] = Field(
        default=None, description="`next_cursor` of the page before"
    )
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class TaskOut(BaseModel):
    """A task that people have judged.

    `disagreement` is the share of pairs that differ; `posterior` how sure the leading answer is;
    `difference` the share of others who say another thing than the annotator asked for.
    """

    id: str
    external_id: str | None
    state: State
    disagreement: float | None
    posterior: float | None
    difference: float | None
    n_annotations: int
    n_responses: int
    adjudicated_at: datetime | None


class TaskPage(BaseModel):
    as_of: datetime
    is_current: bool
    items: list[TaskOut]
    next_cursor: str | None
