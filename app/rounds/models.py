"""Rounds of the loop: generate → rank → freeze → train → evaluate → promote, again and again."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JsonObject, text_enum
from app.rounds.rules import Step


class RoundState(StrEnum):
    """A round that failed stands still and can go on; the last two are final."""

    RUNNING = "running"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"


class RoundPolicy(Base):
    """How a project's rounds go, as `app.rounds.schemas.Policy` has it."""

    __tablename__ = "round_policy"

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    values: Mapped[JsonObject]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Round(Base):
    """Once round the loop. `turn` grows with every change: who acts names the one she has seen.

    `is_under_way`: the work of the present step was begun (a generation, a snapshot, trainings);
    otherwise the step waits for its condition or for somebody's button.
    """

    __tablename__ = "round"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'cancelled'))",
            name="finished_when_final",
        ),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed_says_why"),
        # One at a time: a second round would train on what the first is about to change.
        Index(
            "uq_round_open", "project_id", unique=True, postgresql_where=text("finished_at IS NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    number: Mapped[int]
    state: Mapped[RoundState] = mapped_column(text_enum(RoundState), default=RoundState.RUNNING)
    step: Mapped[Step] = mapped_column(text_enum(Step))
    turn: Mapped[int] = mapped_column(default=1)
    is_under_way: Mapped[bool] = mapped_column(default=False)
    policy: Mapped[JsonObject]
    paused_at: Mapped[datetime | None]
    error: Mapped[str | None]
    # What the steps made. The former writer is the model that this round set out from.
    former_checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"))
    former_reward_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"))
    generation_id: Mapped[UUID | None] = mapped_column(ForeignKey("generation.id"))
    snapshot_id: Mapped[UUID | None] = mapped_column(ForeignKey("snapshot.id"))
    run_ids: Mapped[JsonObject] = mapped_column(default=dict)  # kind → run
    writer_checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"))
    reward_checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"))
    evaluation_id: Mapped[UUID | None] = mapped_column(ForeignKey("evaluation.id"))
    is_promoted: Mapped[bool | None]
    figures: Mapped[JsonObject] = mapped_column(default=dict)  # kept as each step ends
    judged_since: Mapped[datetime | None]  # judgements from then on are this round's; NULL: all
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    step_began_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class RoundEvent(Base):
    """What happened in a round, in a sentence. Append-only."""

    __tablename__ = "round_event"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    round_id: Mapped[UUID] = mapped_column(ForeignKey("round.id", ondelete="CASCADE"), index=True)
    step: Mapped[Step] = mapped_column(text_enum(Step))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    kind: Mapped[str]  # began, done, skipped, failed, tried again, paused, went on, ended
    message: Mapped[str] = mapped_column(default="")
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
