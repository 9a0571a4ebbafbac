"""What a reviewer settled, and the cached figures of a project."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, SmallInteger, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JsonObject, text_enum


class Adjudication(Base):
    """A reviewer's final ranks and why. Append-only; the newest one holds."""

    __tablename__ = "adjudication"
    __table_args__ = (Index("ix_adjudication_task", "task_id", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    ranks: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
