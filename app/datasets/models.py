"""Frozen datasets."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JobState, JsonObject, text_enum


class Snapshot(Base):
    """A recipe and the files it froze. Immutable once it has succeeded.

    `erased_at`: judgements in it have been removed since. An admin may then remove its files; what
    it was (recipe, counts, hashes) stays on record.
    """

    __tablename__ = "snapshot"
    __table_args__ = (
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        CheckConstraint("state <> 'succeeded' OR path IS NOT NULL", name="succeeded_has_files"),
        Index(
            "ix_snapshot_replaces_id",
            "replaces_id",
            postgresql_where=text("replaces_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    recipe: Mapped[JsonObject]
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime | None]
    counts: Mapped[JsonObject] = mapped_column(default=dict)
    quality: Mapped[JsonObject] = mapped_column(default=dict)
    files: Mapped[list[JsonObject]] = mapped_column(default=list)  # [{path, bytes, sha256, rows}]
    path: Mapped[str | None]  # folder inside the artifact store
    # SHA-256 over the rows in any file format: of the recipe as well, and of the rows alone.
    identity: Mapped[str | None]
    contents: Mapped[str | None]
    prompts_done: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    prompts_total: Mapped[int | None]  # known once it has begun
    error: Mapped[str | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    # The snapshot that this one is a corrected edition of.
    replaces_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("snapshot.id", ondelete="SET NULL", use_alter=True)
    )
    erased_at: Mapped[datetime | None]
    files_removed_at: Mapped[datetime | None]

    @property
    def folder(self) -> str | None:
        """Where its files are; None before it is frozen, and once they were removed."""
        return None if self.files_removed_at else self.path


class SnapshotComparison(Base):
    """What two frozen snapshots differ in: computed once, for neither of them ever changes."""

    __tablename__ = "snapshot_comparison"
    __table_args__ = (
        UniqueConstraint("before_id", "after_id"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        CheckConstraint("state <> 'succeeded' OR path IS NOT NULL", name="succeeded_has_files"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    before_id: Mapped[UUID] = mapped_column(ForeignKey("snapshot.id", ondelete="CASCADE"))
    after_id: Mapped[UUID] = mapped_column(
        ForeignKey("snapshot.id", ondelete="CASCADE"), index=True
    )
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime | None]
    done: Mapped[int] = mapped_column(default=0)  # rows, of both together
    total: Mapped[int] = mapped_column(default=0)
    summary: Mapped[JsonObject] = mapped_column(default=dict)
    path: Mapped[str | None]  # folder inside the artifact store
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class SnapshotAnnotator(Base):
    """How many judgements of whom a snapshot holds, by the pseudonym in its manifest.

    Sources stand here as well. A row without a name says that the manifest was looked through.
    """

    __tablename__ = "snapshot_annotator"
    __table_args__ = (Index("ix_snapshot_annotator_annotator", "annotator"),)

    snapshot_id: Mapped[UUID] = mapped_column(
        ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True
    )
    annotator: Mapped[str] = mapped_column(primary_key=True)
    judgements: Mapped[int]


class SnapshotGuidelines(Base):
    """How many judgements of a snapshot were made under which version of the guidelines.

    A row of version 0 says that the manifest was looked through.
    """

    __tablename__ = "snapshot_guidelines"

    snapshot_id: Mapped[UUID] = mapped_column(
        ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    judgements: Mapped[int]


class SnapshotWriter(Base):
    """How many judgements of a snapshot are about responses that a checkpoint wrote.

    What learns from the snapshot descends from that checkpoint, too.
    """

    __tablename__ = "snapshot_writer"
    __table_args__ = (Index("ix_snapshot_writer_checkpoint", "checkpoint_id"),)

    snapshot_id: Mapped[UUID] = mapped_column(
        ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True
    )
    checkpoint_id: Mapped[UUID] = mapped_column(primary_key=True)  # a key to the right
    judgements: Mapped[int]


class SnapshotEndpoint(Base):
    """How many judgements of a snapshot are about responses that an endpoint wrote.

    By the source that these responses name, `endpoint:` and what it was called.
    """

    __tablename__ = "snapshot_endpoint"

    snapshot_id: Mapped[UUID] = mapped_column(
        ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True
    )
    source: Mapped[str] = mapped_column(primary_key=True)
    judgements: Mapped[int]
