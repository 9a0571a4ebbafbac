"""Comparing two models by people, and which model of a project is the promoted one."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JobState, JsonObject, text_enum


class Evaluation(Base):
    """Two contestants answer the same prompts, and people judge the two answers blind.

    A contestant is a checkpoint or an endpoint; B without either is the best-judged responses that
    stand in the data. `state` is of the worker's part: to write, to open the tasks, to score. The
    judging goes on from `opened_at` until `closed_at`.
    """

    __tablename__ = "evaluation"
    __table_args__ = (
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        CheckConstraint("num_nonnulls(a_checkpoint_id, a_endpoint_id) = 1", name="one_a"),
        CheckConstraint("num_nonnulls(b_checkpoint_id, b_endpoint_id) <= 1", name="one_b_at_most"),
        CheckConstraint(
            "a_checkpoint_id <> b_checkpoint_id AND a_endpoint_id <> b_endpoint_id",
            name="two_contestants",
        ),
        CheckConstraint("(closed_at IS NULL) = (close_reason IS NULL)", name="closed_for_a_reason"),
        Index("ix_evaluation_project", "project_id", "created_at"),
        Index("ix_evaluation_unfinished", "state", postgresql_where=text("finished_at IS NULL")),
        Index(
            "ix_evaluation_judged",
            "opened_at",
            postgresql_where=text("opened_at IS NOT NULL AND closed_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    name: Mapped[str]
    a_checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    a_endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("endpoint.id"), index=True)
    b_checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    b_endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("endpoint.id"), index=True)
    reward_checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"))
    config: Mapped[JsonObject]  # {prompts, tag, source, temperature, judgements, best_of, …}
    warnings: Mapped[list[Any]] = mapped_column(default=list)  # sentences
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    activity: Mapped[str | None]
    done: Mapped[int] = mapped_column(default=0)  # of what it is busy with
    total: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    close_reason: Mapped[str | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class EvaluationPrompt(Base):
    """A prompt of an evaluation, what each contestant answered, and where people judge it.

    No task where both answered the same (`is_equal`), or one had no answer (`left_out` says why).
    """

    __tablename__ = "evaluation_prompt"
    __table_args__ = (
        CheckConstraint("task_id IS NULL OR NOT is_equal", name="equal_needs_no_judge"),
    )

    evaluation_id: Mapped[UUID] = mapped_column(
        ForeignKey("evaluation.id", ondelete="CASCADE"), primary_key=True
    )
    prompt_id: Mapped[UUID] = mapped_column(
        ForeignKey("prompt.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    place: Mapped[int]  # the order in which they were drawn
    a_response_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("response.id", ondelete="CASCADE"), index=True
    )
    b_response_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("response.id", ondelete="CASCADE"), index=True
    )
    task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("task.id", ondelete="SET NULL"), index=True
    )
    is_equal: Mapped[bool] = mapped_column(default=False)
    left_out: Mapped[str | None]
    a_score: Mapped[float | None]
    b_score: Mapped[float | None]
    a_samples: Mapped[list[Any] | None]  # scores of further responses, for best of n
    b_samples: Mapped[list[Any] | None]


class Demand(StrEnum):
    """What the people's judgement must say of a model before it is promoted."""

    BETTER = "better"  # surely preferred: the lower bound is above ½
    BY_MORE = "by_more"  # … above a threshold that the project sets
    NOT_WORSE = "not_worse"  # surely not worse by more than a margin


class PromotionRule(Base):
    """When a model of a project is promoted; a project without a row has the defaults."""

    __tablename__ = "promotion_rule"
    __table_args__ = (
        CheckConstraint("threshold >= 0.5 AND threshold < 1", name="threshold"),
        CheckConstraint("margin > 0 AND margin < 0.5", name="margin"),
    )

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    demand: Mapped[Demand] = mapped_column(text_enum(Demand), default=Demand.BETTER)
    threshold: Mapped[float] = mapped_column(default=0.55)
    margin: Mapped[float] = mapped_column(default=0.05)
    automatic: Mapped[bool] = mapped_column(default=False)


class Promotion(Base):
    """From here on this checkpoint is the project's promoted writer. Append-only; the last counts.

    `checkpoint_id` null: none is, because the first promotion was taken back. `undoes`: the row
    that this one takes back.
    """

    __tablename__ = "promotion"
    __table_args__ = (Index("ix_promotion_project", "project_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"), index=True)
    evaluation_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("evaluation.id", ondelete="SET NULL")
    )
    undoes: Mapped[int | None] = mapped_column(ForeignKey("promotion.id"))
    reason: Mapped[str]
    evidence: Mapped[JsonObject] = mapped_column(default=dict)  # the figures at that moment
    by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
