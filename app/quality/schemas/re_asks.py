"""Re-asked samples on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.projects.schemas.forms import empty_is_none
from app.quality.rules.flips import LARGEST_SIZE
from app.quality.schemas.agreement import FigureOut


class ReAskBody(BaseModel):
    """`POST /projects/{id}/re-asks`: `size` tasks (50), or a `share` of what can come again.

    `from_version`: under which the judgements were made; the last one before the current, where
    nothing is said.
    """

    model_config = ConfigDict(extra="forbid")

    from_version: Annotated[int | None, Field(ge=1)] = None
    size: Annotated[int | None, Field(ge=1, le=LARGEST_SIZE)] = None
    share: Annotated[float | None, Field(gt=0, le=1)] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ReAskBody":
        if self.size is not None and self.share is not None:
            raise ValueError("give a size or a share, not both")
        return self


FormNumber = Annotated[int | None, Field(ge=1, le=LARGEST_SIZE), BeforeValidator(empty_is_none)]


class ReAskForm(BaseModel):
    from_version: FormNumber = None
    size: FormNumber = None


class WaitsForOut(BaseModel):
    """So many of its tasks still lie before a person."""

    user_id: str
    name: str
    tasks: int


class ReAskOut(BaseModel):
    """How far a re-ask is.

    `away`: of people who are paused or have left; it does not wait for them. `lost`: skipped, given
    back, or judged by the earlier guidelines.
    """

    id: str
    state: Literal["running", "succeeded", "cancelled"]
    from_version: int
    to_version: int
    size: int
    waiting: int
    open: int
    judged: int
    away: int
    lost: int
    waits_for: list[WaitsForOut]
    created_at: datetime
    cancelled_at: datetime | None


class DirectionsOut(BaseModel):
    tie_to_decisive: int
    decisive_to_tie: int
    reversed: int


class FlippedOut(BaseModel):
    """A judgement that changed: ranks by canonical position, before and after."""

    task_id: str
    external_id: str | None
    user_id: str
    before: list[int]
    after: list[int]


class ReAskReport(ReAskOut):
    """Shares of implied pairs that were judged another way, with 95 % intervals.

    `base_rate`: of silent repeats under unchanged guidelines; `difference` and `p_value` tell a
    change by the guidelines from that noise.
    """

    flip_rate: FigureOut
    flips: int
    n_pairs: int
    base_rate: FigureOut
    base_flips: int
    base_pairs: int
    difference: FigureOut
    p_value: float | None
    verdict: Literal["more", "fewer", "no_difference"] | None
    directions: DirectionsOut
    sentence: str
    flipped: list[FlippedOut]


class PlanOut(BaseModel):
    """What a re-ask would do; `reason`: why there can be none now."""

    from_version: int
    to_version: int
    tasks: int
    people: int
    eligible: int
    minutes: float | None
    sentence: str
    reason: str | None
    warning: str | None
