"""What a reviewer settled, and the cached figures of a project."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JsonObject, text_enum


class Adjudication(Base):
    """A reviewer's final ranks and why. The newest one that is not withdrawn holds.

    Append-only but for a withdrawal, which is told once and stays.
    """

    __tablename__ = "adjudication"
    __table_args__ = (
        Index("ix_adjudication_task", "task_id", "created_at"),
        CheckConstraint(
            "withdrawn_by IS NULL OR withdrawn_at IS NOT NULL", name="withdrawn_by_somebody"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    ranks: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))


class SendBack(Base):
    """A reviewer asks that `more` people judge a task, beyond what it wanted then.

    What the task was before is kept, so that it can be taken back while nobody has judged more.
    """

    __tablename__ = "send_back"
    __table_args__ = (
        Index("ix_send_back_task", "task_id", "created_at"),
        CheckConstraint("more BETWEEN 1 AND 3", name="more"),
        CheckConstraint("undone_by IS NULL OR undone_at IS NOT NULL", name="undone_by_somebody"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    more: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str] = mapped_column(default="")
    wanted_before: Mapped[int] = mapped_column(SmallInteger)
    at_least_before: Mapped[int] = mapped_column(SmallInteger)
    priority_before: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))


class Part(StrEnum):
    """What is computed and kept together: the overview, or one breakdown of agreement."""

    OVERVIEW = "overview"
    ANNOTATOR_PAIR = "annotator_pair"
    GROUP = "group"
    WEEK = "week"
    SOURCE = "source"
    GUIDELINES_VERSION = "guidelines_version"
    TAG = "tag"
    DAY = "day"
    CONSENSUS = "consensus"
    LEADERBOARD = "leaderboard"


class QualitySummary(Base):
    """Figures of a project as of `computed_at`.

    `fingerprint` says what they were computed from: where it differs from that of the data, the
    figures are stale.
    """

    __tablename__ = "quality_summary"

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    part: Mapped[Part] = mapped_column(text_enum(Part), primary_key=True)
    computed_at: Mapped[datetime]
    fingerprint: Mapped[str]
    figures: Mapped[JsonObject]
