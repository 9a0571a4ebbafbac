"""The new model against the former one, and the promotion of the better."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import JsonObject
from app.projects.models import Project
from app.rounds.models import Round
from app.rounds.schemas import Policy
from app.runs.models import Checkpoint

IS_POSSIBLE = False


@dataclass(frozen=True, slots=True)
class Found:
    """What the comparison has shown so far; `win`: {value, low, high, n, of, by}."""

    win: JsonObject | None = None
    is_decided: bool = False
    error: str | None = None


def compare(
    session: Session, *, project: Project, round_: Round, policy: Policy, by: User | None
) -> UUID:
    raise NotImplementedError


def found(session: Session, *, round_: Round) -> Found:  # noqa: ARG001
    return Found()


def promote(
    session: Session,
    *,
    project: Project,
    checkpoint: Checkpoint,
    round_: Round,
    by: User | None,
    because: str,
) -> None:
    """The round itself remembers it."""
