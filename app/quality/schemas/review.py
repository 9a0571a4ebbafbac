"""Reviews on the wire (contract §3)."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class TaskOut(BaseModel):
    """A judged task.

    `disagreement`: the share of pairs of judgements that differ, null for a single one;
    `posterior`: how sure its answer is, where tasks are ordered by it.
    """

    id: str
    external_id: str | None
    disagreement: float | None
    posterior: float | None = None
    n_annotations: int
    n_responses: int
    adjudicated_at: datetime | None


class TaskPage(BaseModel):
    as_of: datetime
    is_current: bool
    items: list[TaskOut]
    next_cursor: str | None


Reason = Annotated[str, StringConstraints(max_length=10_000)]


class AdjudicationBody(BaseModel):
    """`ranking`: groups best first, of labels (A, B… in canonical order) or ids of responses."""

    model_config = ConfigDict(extra="forbid")

    ranking: Annotated[list[list[str]], Field(max_length=10)]
    reason: Reason


class AdjudicationForm(BaseModel):
    """A place per response, in canonical order."""

    places: Annotated[list[Annotated[int, Field(ge=1, le=10)]], Field(min_length=2, max_length=10)]
    reason: Reason = ""


class AdjudicationOut(BaseModel):
    id: str
    task_id: str
    response_ids: list[str]
    ranks: list[int]
    reason: str
    by: UUID | None
    created_at: datetime
