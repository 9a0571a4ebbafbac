"""What is done about a person, from forms and on the wire."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from app.annotation.service import Which
from app.errors import Invalid
from app.projects.schemas import storable
from app.projects.schemas.forms import empty_is_none

Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(storable)
]
Text = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(storable)]
Last = Annotated[int, Field(ge=1, le=100_000)]


class RequeueForm(BaseModel):
    """Which of her judgements, as the page asks; days begin at midnight UTC."""

    what: Literal["today", "yesterday", "day", "last"] = "today"
    day: Annotated[date | None, BeforeValidator(empty_is_none)] = None
    last: Annotated[Last | None, BeforeValidator(empty_is_none)] = None

    def which(self, now: datetime) -> Which:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        match self.what:
            case "today":
                return Which(since=midnight)
            case "yesterday":
                return Which(since=midnight - timedelta(days=1))
            case "day":
                if self.day is None:
                    raise Invalid("Choose the day from which on her judgements are in doubt.")
                return Which(since=datetime.combine(self.day, time(), UTC))
            case "last":
                if self.last is None:
                    raise Invalid("Say how many of her last judgements are in doubt.")
                return Which(last=self.last)


class RequeueBody(BaseModel):
    """`since` a moment, the `last` so many, or both; with neither, all that counts."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[datetime | None, BeforeValidator(empty_is_none)] = None
    last: Annotated[Last | None, BeforeValidator(empty_is_none)] = None

    def which(self) -> Which:
        since = self.since
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        return Which(since=since, last=self.last)


class RequeueConfirmation(RequeueBody):
    """The same from the page that has said what it does."""

    model_config = ConfigDict(extra="ignore")


class MessageForm(BaseModel):
    body: Text = ""


class AppealForm(BaseModel):
    body: Text = ""


class ReasonForm(BaseModel):
    reason: Reason = ""


class ReasonBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""


class MessageBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    body: Annotated[Text, StringConstraints(min_length=1, max_length=2_000)]


class MessageOut(BaseModel):
    id: str
    body: str
    sent_by: str | None
    sent_at: datetime
    read_at: datetime | None
    withdrawn_at: datetime | None


class MessagePage(BaseModel):
    items: list[MessageOut]
    next_cursor: str | None = None


class CareOut(BaseModel):
    """Where a member stands after something was done about her."""

    user_id: str
    paused_at: datetime | None
    pause_reason: str | None
    excluded_at: datetime | None
    exclude_reason: str | None


class ReachOut(BaseModel):
    """What re-queueing does, or would: tasks opened again, and closed ones that have enough."""

    judgements: int
    opened: int
    closed: int


class RequeueOut(ReachOut):
    id: str


class RestoredOut(BaseModel):
    """Judgements that count again, and those whose place was taken."""

    counted: int
    surplus: int
