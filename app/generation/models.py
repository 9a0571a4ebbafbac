"""New responses: who writes them, to which prompts, and how far that has come."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JobState, JsonObject, text_enum


class Generation(Base):
    """New responses of its writers to prompts of the project, opened as tasks, one for each."""

    __tablename__ = "generation"
    __table_args__ = (
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        Index("ix_generation_unfinished", "state", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    checkpoint_id: Mapped[UUID | None] = mapped_column(  # of the first writer that is one
        ForeignKey("checkpoint.id")
    )
    config: Mapped[JsonObject]  # {max_prompts, include_existing, seed, select, …}
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    tasks_opened: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Endpoint(Base):
    """An OpenAI-compatible server that a project may let write. Its key is not kept here.

    One that is removed stays as a row, because what it wrote names it.
    """

    __tablename__ = "endpoint"
    __table_args__ = (
        Index(
            "uq_endpoint_name",
            "project_id",
            "name",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    name: Mapped[str]
    base_url: Mapped[str]
    model: Mapped[str]
    key_name: Mapped[str | None]  # TOUCHSTONE_ENDPOINT_KEY_… of the environment
    at_once: Mapped[int] = mapped_column(SmallInteger, default=4)
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    removed_at: Mapped[datetime | None]

    @property
    def source(self) -> str:
        """What responses say of their origin that it wrote."""
        return f"endpoint:{self.name}"


class Writer(Base):
    """One source of a generation: a checkpoint or an endpoint, and how it writes."""

    __tablename__ = "writer"
    __table_args__ = (
        CheckConstraint("num_nonnulls(checkpoint_id, endpoint_id) = 1", name="one_source"),
        Index("ix_writer_checkpoint_id", "checkpoint_id"),
        Index("ix_writer_endpoint_id", "endpoint_id"),
    )

    generation_id: Mapped[UUID] = mapped_column(
        ForeignKey("generation.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    checkpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkpoint.id"))
    endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("endpoint.id"))
    source: Mapped[str]  # what its responses say of their origin
    name: Mapped[str]  # what people call it
    n: Mapped[int] = mapped_column(SmallInteger)
    temperatures: Mapped[list[Any]]  # of the first response, of the second, …; then from the start
    top_p: Mapped[float]
    max_new_tokens: Mapped[int]
    seed: Mapped[int]
    system: Mapped[str | None]  # in place of the prompt's own


class Arm(StrEnum):
    """Why a prompt was taken: because the selection wanted it, or by lot, for comparison."""

    SELECTED = "selected"
    RANDOM = "random"


class PromptState(StrEnum):
    WAITING = "waiting"  # not all writers have written yet
    WRITTEN = "written"  # all have; whether it becomes a task is decided at the end
    DONE = "done"
    PASSED_OVER = "passed_over"  # the selection wanted others
    FAILED = "failed"  # fewer than two different responses


class GenerationPrompt(Base):
    """A prompt that a generation has chosen, its arm and what became of it.

    Kept apart from tasks: nothing that an annotator is shown can reach it.
    """

    __tablename__ = "generation_prompt"
    __table_args__ = (
        Index("ix_generation_prompt_prompt_id", "prompt_id"),
        Index("ix_generation_prompt_task_id", "task_id"),
    )

    generation_id: Mapped[UUID] = mapped_column(
        ForeignKey("generation.id", ondelete="CASCADE"), primary_key=True
    )
    prompt_id: Mapped[UUID] = mapped_column(
        ForeignKey("prompt.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int]
    state: Mapped[PromptState] = mapped_column(text_enum(PromptState), default=PromptState.WAITING)
    arm: Mapped[Arm | None] = mapped_column(text_enum(Arm))
    score: Mapped[JsonObject | None]  # {novelty} or {scores, margin, spread}
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("task.id", ondelete="SET NULL"))


class Writing(Base):
    """What a writer wrote to a prompt at one temperature, until it becomes responses."""

    __tablename__ = "writing"
    __table_args__ = (Index("ix_writing_prompt_id", "prompt_id"),)

    generation_id: Mapped[UUID] = mapped_column(
        ForeignKey("generation.id", ondelete="CASCADE"), primary_key=True
    )
    prompt_id: Mapped[UUID] = mapped_column(
        ForeignKey("prompt.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(SmallInteger, primary_key=True)  # of the writer
    turn: Mapped[int] = mapped_column(SmallInteger, primary_key=True)  # of its temperatures
    texts: Mapped[list[Any]]  # [{text, temperature, seed}]
    empty: Mapped[int] = mapped_column(SmallInteger, default=0)
    refused: Mapped[int] = mapped_column(SmallInteger, default=0)
    error: Mapped[str | None]
    written_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
