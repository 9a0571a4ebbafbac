"""The judgement: one type for a pair and for a ranking."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, JsonObject
from app.tasks.models import Assignment


class Requeue(Base):
    """Judgements of one person that were taken out of the count, so that others judge again.

    `closed` names the tasks that had enough without hers and did not open again. Undone, hers
    count again wherever nobody has taken the place.
    """

    __tablename__ = "requeue"
    __table_args__ = (
        CheckConstraint("(undone_at IS NULL) = (restored IS NULL)", name="undone_with_a_number"),
        Index("ix_requeue_person", "project_id", "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    which: Mapped[str]  # of her judgements, in words
    judgements: Mapped[int]
    closed: Mapped[list[Any]] = mapped_column(default=list)
    by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    undone_at: Mapped[datetime | None]
    restored: Mapped[int | None]  # judgements that count again


class Removal(Base):
    """Judgements of one person that were deleted for good, or (`only_texts`) her words in them.

    A dataset that was frozen before may hold them still.
    """

    __tablename__ = "removal"
    __table_args__ = (Index("ix_removal_person", "project_id", "user_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    only_texts: Mapped[bool] = mapped_column(default=False)
    judgements: Mapped[int]
    by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Annotation(Base):
    """A weak order over the canonical responses, by a person (assignment) or a source.

    Revisions are appended; `is_current` marks the last one of an assignment. A judgement that
    comes with the data and has no person behind it names its `source` instead.
    """

    __tablename__ = "annotation"
    __table_args__ = (
        CheckConstraint(
            "(assignment_id IS NULL) = (source IS NOT NULL)"
            " AND (user_id IS NULL) = (source IS NOT NULL)",
            name="person_or_source",
        ),
        Index("uq_annotation_revision", "assignment_id", "revision", unique=True),
        Index(
            "uq_annotation_current",
            "assignment_id",
            unique=True,
            postgresql_where=text("is_current"),
        ),
        Index(
            "uq_annotation_source",
            "task_id",
            "source",
            unique=True,
            postgresql_where=text("source IS NOT NULL"),
        ),
        # Not partial, though most have no key: it is also what finds a person's judgements.
        Index("uq_annotation_idempotency_key", "user_id", "idempotency_key", unique=True),
        Index("ix_annotation_project", "project_id", "submitted_at"),
        Index("ix_annotation_task", "task_id"),
        Index("ix_annotation_import", "import_id", postgresql_where=text("import_id IS NOT NULL")),
        Index(
            "ix_annotation_gold",
            "project_id",
            "user_id",
            postgresql_where=text("gold_passed IS NOT NULL"),
        ),
        Index(
            "ix_annotation_requeue", "requeue_id", postgresql_where=text("requeue_id IS NOT NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID]  # its task's: the key to that holds both
    task_id: Mapped[UUID] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    assignment_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("assignment.id", ondelete="CASCADE")
    )
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    source: Mapped[str | None]  # e.g. `dataset:hh-rlhf`; never counted, never in agreement
    guidelines_version: Mapped[int]
    revision: Mapped[int] = mapped_column(default=1)
    is_current: Mapped[bool] = mapped_column(default=True)
    counted: Mapped[bool]  # False: surplus (late), repeat, gold or a source
    is_repeat: Mapped[bool] = mapped_column(default=False)
    # What took it out of the count after it was in. Its author is not told: gold never shows that.
    requeue_id: Mapped[UUID | None] = mapped_column(ForeignKey("requeue.id", ondelete="SET NULL"))
    gold_passed: Mapped[bool | None]  # None: not a gold task
    ranks: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))  # 1 = best, equal = tie
    strength: Mapped[int | None] = mapped_column(SmallInteger)  # of a pair; None where not asked
    ratings: Mapped[JsonObject] = mapped_column(default=dict)  # criterion → value per position
    rationale: Mapped[str | None]
    flags: Mapped[JsonObject] = mapped_column(default=dict)  # position → flags
    rewrite: Mapped[str | None]
    meta: Mapped[JsonObject | None]  # what else an imported file says of it
    wall_ms: Mapped[int | None]
    visible_ms: Mapped[int | None]
    active_ms: Mapped[int | None]
    idempotency_key: Mapped[str | None]
    import_id: Mapped[UUID | None]  # what brought it
    body_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    submitted_at: Mapped[datetime] = mapped_column(server_default=func.now())

    assignment: Mapped[Assignment | None] = relationship(lazy="raise")
