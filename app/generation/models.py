"""New responses: who writes them, to which prompts, and how far that has come."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JobState, JsonObject, text_enum


class Generation(Base):
    """New responses written by a checkpoint for prompts of the project, then opened as tasks."""

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
    checkpoint_id: Mapped[UUID] = mapped_column(ForeignKey("checkpoint.id"))
    config: Mapped[JsonObject]  # {n, temperature, top_p, max_new_tokens, seed, max_prompts, …}
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
