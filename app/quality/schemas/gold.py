"""Gold and appeals, from forms and on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.annotation.schemas import GoldBody, Rationale
from app.projects.schemas import storable
from app.quality.schemas.agreement import FigureOut
from app.quality.schemas.review import Stamp
from app.tasks.models import Outcome

Words = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(storable)]


class KeyBody(GoldBody):
    """`PUT /tasks/{id}/gold`: pairs of response ids; the first of a pair is the better one.

    `qualification`: asked openly before real work, with feedback, instead of mixed in unseen.
    """

    if_unchanged: Annotated[
        Stamp | None, Field(description="`stamp` of the task as it was read; 409 if it changed")
    ] = None


class GoldChange(BaseModel):
    """What a reviewer does about a key. `places`: one per response, 0 = not part of the key."""

    action: Literal["withdraw", "restore", "correct", "unset"] = "withdraw"
    reason: Words = ""
    answer: Words = ""  # to those who appealed
    places: Annotated[list[Annotated[int, Field(ge=0, le=10)]], Field(max_length=10)] = []
    ties_allowed: bool = False
    explanation: Rationale = ""
    edition: str = ""  # of the key that the page has shown
    is_confirmed: bool = False


class Settlement(BaseModel):
    """An answer to an appeal that leaves the key as it is: it stands, or the pause is lifted."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal[Outcome.STANDS, Outcome.LIFTED] = Outcome.STANDS
    answer: Words = ""


class SettlementForm(Settlement):
    model_config = ConfigDict(extra="ignore")


class AppealOut(BaseModel):
    """`task_id` is null for an appeal about a pause."""

    id: str
    user_id: str
    name: str
    task_id: str | None
    body: str
    created_at: datetime
    outcome: Outcome | None
    answer: str | None
    settled_at: datetime | None


class AppealPage(BaseModel):
    items: list[AppealOut]
    next_cursor: str | None = None


class GoldLineOut(BaseModel):
    """A task with a key; `pass_rate` of people in good standing, with Wilson's interval."""

    task_id: str
    external_id: str | None
    qualification: bool
    key: str
    explanation: str
    seen: int
    passed: int
    pass_rate: FigureOut
    disputed: bool
    suspended_at: datetime | None
    suspend_reason: str | None
    upheld_at: datetime | None
    open_appeals: int


class GoldPage(BaseModel):
    items: list[GoldLineOut]
    next_cursor: str | None = None


class WithdrawBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Words, StringConstraints(min_length=1)]


class ScoreOut(BaseModel):
    standing: str
    seen: int
    passed: int
    qualified: bool


class ScoreChangeOut(BaseModel):
    user_id: str
    name: str
    before: ScoreOut
    after: ScoreOut
    paused_by_gold: bool


class GoldChangeOut(BaseModel):
    """Whose scores a change of a key has changed."""

    task_id: str
    changes: list[ScoreChangeOut]
