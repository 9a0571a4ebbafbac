"""Conversations that people have with checkpoints: turns, answers, and what others make of them.

A conversation is a tree: a turn follows an answer, so that a turn asked again or changed stands
beside the first, and nothing that was said is lost.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
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

from app.db import Base, JobState, JsonObject, text_enum

FINISHED = "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))"


class ReadingKind(StrEnum):
    """What a model does with a reply: a writer gives each token a probability, a judge scores."""

    TOKENS = "tokens"
    SCORE = "score"


class PlayConversation(Base):
    __tablename__ = "play_conversation"
    __table_args__ = (Index("ix_play_conversation_project", "project_id", "asked_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    system: Mapped[str | None]
    title: Mapped[str]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())  # its last turn


class PlayTurn(Base):
    """What a person says and how it is to be answered. `id` + `attempt` is the worker's lease."""

    __tablename__ = "play_turn"
    __table_args__ = (
        CheckConstraint(FINISHED, name="finished_when_final"),
        Index("ix_play_turn_unfinished", "state", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    conversation_id: Mapped[UUID] = mapped_column(
        ForeignKey("play_conversation.id", ondelete="CASCADE"), index=True
    )
    parent_answer_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("play_answer.id", ondelete="CASCADE", use_alter=True), index=True
    )
    message: Mapped[str]
    settings: Mapped[JsonObject]  # {temperature, top_p, max_new_tokens, seed}
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime | None]
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("task.id", ondelete="SET NULL"))
    sent_at: Mapped[datetime | None]
    sent_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class PlayAnswer(Base):
    """A reply to a turn: by a checkpoint, by an endpoint, or typed by a person to be read."""

    __tablename__ = "play_answer"
    __table_args__ = (
        UniqueConstraint("turn_id", "place"),
        CheckConstraint(FINISHED, name="finished_when_final"),
        Index(
            "uq_play_answer_unfinished",
            "asked_by",
            "checkpoint_id",
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
        Index(
            "uq_play_answer_unfinished_endpoint",
            "asked_by",
            "endpoint_id",
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    turn_id: Mapped[UUID] = mapped_column(ForeignKey("play_turn.id", ondelete="CASCADE"))
    place: Mapped[int]
    source: Mapped[str]  # checkpoint:…, endpoint:… or person
    name: Mapped[str]  # of who wrote it, as it was called then
    checkpoint_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("checkpoint.id", ondelete="SET NULL"), index=True
    )
    endpoint_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("endpoint.id", ondelete="SET NULL"), index=True
    )
    asked_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    stop_requested_at: Mapped[datetime | None]
    text: Mapped[str] = mapped_column(default="")
    tokens: Mapped[list[Any]] = mapped_column(default=list)  # [{text, logp, rank, top}]
    why_ended: Mapped[str | None]  # end, length, stopped
    figures: Mapped[JsonObject] = mapped_column(default=dict)  # {perplexity, seconds, …}
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class PlayPiece(Base):
    """What an answer grew by while it was written; gone when it is whole."""

    __tablename__ = "play_piece"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    answer_id: Mapped[UUID] = mapped_column(
        ForeignKey("play_answer.id", ondelete="CASCADE"), index=True
    )
    text: Mapped[str]


class PlayReading(Base):
    """What another model makes of an answer: the probability of each token, or a score."""

    __tablename__ = "play_reading"
    __table_args__ = (UniqueConstraint("answer_id", "checkpoint_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    answer_id: Mapped[UUID] = mapped_column(ForeignKey("play_answer.id", ondelete="CASCADE"))
    checkpoint_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("checkpoint.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[ReadingKind] = mapped_column(text_enum(ReadingKind))
    name: Mapped[str]
    place: Mapped[int] = mapped_column(default=0)
    is_done: Mapped[bool] = mapped_column(default=False)
    tokens: Mapped[list[Any]] = mapped_column(default=list)
    figures: Mapped[JsonObject] = mapped_column(default=dict)  # {perplexity} or {score, z, …}
    error: Mapped[str | None]
