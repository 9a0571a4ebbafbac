"""Prompts, the responses to be judged, and the imports that brought them."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import Text

from app.db import Base, JobState, JsonObject, text_enum


class Import(Base):
    """One file brought into a project. The row is the truth; a job only carries its id.

    With `dry_run` it only looks: its figures say what an import would do, and its file stays until
    somebody has it brought in or throws it away.
    """

    __tablename__ = "import"
    __table_args__ = (
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        CheckConstraint(
            "undone_at IS NULL OR undo_requested_at IS NOT NULL", name="undone_on_request"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    filename: Mapped[str]
    format: Mapped[str]  # as asked for; `auto` becomes what was detected
    skip_bad_lines: Mapped[bool] = mapped_column(default=False)
    dry_run: Mapped[bool] = mapped_column(default=False, server_default=false())
    path: Mapped[str]  # of the staged upload in the artifact store
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes_read: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime | None]
    rows_read: Mapped[int] = mapped_column(default=0)
    rows_imported: Mapped[int] = mapped_column(default=0)
    rows_skipped: Mapped[int] = mapped_column(default=0)
    rows_rejected: Mapped[int] = mapped_column(default=0)
    errors: Mapped[list[JsonObject]] = mapped_column(
        default=list
    )  # [{line, message, text}], the first 1,000
    error: Mapped[str | None]
    report: Mapped[JsonObject] = mapped_column(default=dict, server_default=text("'{}'"))
    undone: Mapped[JsonObject] = mapped_column(default=dict, server_default=text("'{}'"))
    undo_requested_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Prompt(Base):
    """A conversation up to the point where a response is wanted."""

    __tablename__ = "prompt"
    __table_args__ = (
        UniqueConstraint("project_id", "content_hash"),
        Index(
            "ix_prompt_import",
            "import_id",
            "content_hash",
            postgresql_where=text("import_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256 of system + messages
    messages: Mapped[list[Any]]  # [{role, content}], the last one the user's
    system: Mapped[str | None]
    source: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    language: Mapped[str | None]
    expertise: Mapped[list[str]] = mapped_column(  # what its judges must know
        ARRAY(Text), default=list, server_default=text("'{}'")
    )
    external_id: Mapped[str | None]
    meta: Mapped[JsonObject] = mapped_column(default=dict)
    import_id: Mapped[UUID | None] = mapped_column(ForeignKey("import.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Response(Base):
    """One candidate reply. Its origin is never shown to an annotator."""

    __tablename__ = "response"
    __table_args__ = (
        UniqueConstraint("prompt_id", "content_hash"),
        Index(
            "ix_response_checkpoint_id",
            "checkpoint_id",
            postgresql_where="checkpoint_id IS NOT NULL",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompt.id", ondelete="CASCADE"))
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256 of (prompt, text, source)
    text: Mapped[str]
    source: Mapped[str | None]
    checkpoint_id: Mapped[UUID | None]  # a string key to the right
    import_id: Mapped[UUID | None]  # what brought it; without a foreign key, which would cost time
    sampling: Mapped[JsonObject | None]
    meta: Mapped[JsonObject] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    prompt: Mapped[Prompt] = relationship(lazy="raise")
