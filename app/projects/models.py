"""A body of work, who takes part in it, and what annotators are told."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.accounts.models import Role, User
from app.db import Base, JsonObject, text_enum


class Project(Base):
    __tablename__ = "project"
    __table_args__ = (
        CheckConstraint("overlap_min BETWEEN 1 AND overlap_max", name="overlap"),
        CheckConstraint("gold_rate BETWEEN 0 AND 0.5", name="gold_rate"),
        CheckConstraint("gold_threshold BETWEEN 0 AND 1", name="gold_threshold"),
        CheckConstraint("strength_levels BETWEEN 0 AND 4", name="strength_levels"),
        CheckConstraint("lease_minutes >= 1", name="lease_minutes"),
        CheckConstraint("repeat_rate BETWEEN 0 AND 0.2", name="repeat_rate"),
        CheckConstraint("daily_limit >= 1 AND total_limit >= 1", name="limits"),
        CheckConstraint("largest_share BETWEEN 1 AND 100", name="largest_share"),
        CheckConstraint("cost_per_hour >= 0 AND cost_per_judgement >= 0", name="cost"),
        CheckConstraint(
            "qualification_size >= 0 AND qualification_attempts >= 1"
            " AND qualification_wait_hours >= 0"
            " AND qualification_pass > 0 AND qualification_pass <= 1",
            name="qualification",
        ),
        Index("uq_project_name", text("lower(name)"), unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    criteria: Mapped[list[JsonObject]] = mapped_column(
        default=list
    )  # [{key, label, min, max}], each rated per response
    strength_levels: Mapped[int] = mapped_column(SmallInteger, default=3)
    allow_ties: Mapped[bool] = mapped_column(default=True)
    overlap_min: Mapped[int] = mapped_column(SmallInteger, default=1)
    overlap_max: Mapped[int] = mapped_column(SmallInteger, default=1)
    overlap_confidence: Mapped[float | None] = mapped_column(Float)
    gold_rate: Mapped[float] = mapped_column(Float, default=0.1)
    gold_threshold: Mapped[float] = mapped_column(Float, default=0.7)
    lease_minutes: Mapped[int] = mapped_column(default=30)
    # Own tasks that come again unseen, as a share of all.
    repeat_rate: Mapped[float] = mapped_column(Float, default=0.0, server_default=text("0"))
    # Tasks that one person may hand in: on a day (UTC), in all, in percent of what is wanted.
    daily_limit: Mapped[int | None]
    total_limit: Mapped[int | None]
    largest_share: Mapped[int | None] = mapped_column(SmallInteger)
    # What new annotators pass before real work: questions of an attempt (0: nothing is asked), the
    # share to get right, how many attempts there are, and the hours between two of them.
    qualification_size: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    qualification_pass: Mapped[float] = mapped_column(Float, default=0.8, server_default="0.8")
    qualification_attempts: Mapped[int] = mapped_column(SmallInteger, default=2, server_default="2")
    qualification_wait_hours: Mapped[int] = mapped_column(default=24, server_default="24")
    # What people are paid, to tell what labels cost: by the hour of active time, by the judgement,
    # or both; either may be unknown.
    cost_per_hour: Mapped[float | None] = mapped_column(Numeric(12, 4, asdecimal=False))
    cost_per_judgement: Mapped[float | None] = mapped_column(Numeric(12, 4, asdecimal=False))
    currency: Mapped[str] = mapped_column(default="", server_default=text("''"))
    guidelines_version: Mapped[int] = mapped_column(default=1)
    paused_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Guidelines(Base):
    """A version of what annotators read and are asked. Append-only.

    `needed` is the newest version up to this one that must be read before the next task: itself,
    unless it only makes clearer what held before.
    """

    __tablename__ = "guidelines"
    __table_args__ = (CheckConstraint("needed BETWEEN 1 AND version", name="needed"),)

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]  # Markdown
    scale: Mapped[JsonObject] = mapped_column(
        default=dict
    )  # {criteria, strength_levels, allow_ties} as they were in this version
    note: Mapped[str] = mapped_column(default="", server_default="")  # what changed and why
    examples: Mapped[list[JsonObject]] = mapped_column(
        default=list, server_default="[]"
    )  # [{prompt, responses, ranks, why, kind, task_id}]
    needed: Mapped[int] = mapped_column(
        default=lambda context: context.get_current_parameters()["version"]
    )
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GuidelinesDraft(Base):
    """What an admin has written and not yet published, and the version that she began from."""

    __tablename__ = "guidelines_draft"

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    base_version: Mapped[int]
    text: Mapped[str]
    note: Mapped[str] = mapped_column(default="")
    is_clarification: Mapped[bool] = mapped_column(default=False)
    examples: Mapped[list[JsonObject]] = mapped_column(default=list)  # as the form has them
    updated_at: Mapped[datetime]


class Standing(StrEnum):
    """What an annotator's gold answers say of her (design §5)."""

    GOOD = "good"
    WARNED = "warned"
    FAILED = "failed"


class Membership(Base):
    """A person's part in a project, with what a claim decides by (design §4.9).

    The row is also the lock that serialises one person's claims in one project.
    """

    __tablename__ = "membership"
    __table_args__ = (
        Index("uq_membership_imported_name", "project_id", "imported_name", unique=True),
        Index(
            "ix_membership_erased_name",
            "project_id",
            "erased_name",
            postgresql_where=text("erased_name IS NOT NULL"),
        ),
        CheckConstraint("gold_passed BETWEEN 0 AND gold_seen", name="gold_passed"),
        CheckConstraint("daily_limit >= 1 AND total_limit >= 1", name="limits"),
    )

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[Role] = mapped_column(text_enum(Role))
    imported_name: Mapped[str | None]  # the name an imported annotator has in the files
    # Its fingerprint once the name is erased: the same file again must not bring her in anew.
    erased_name: Mapped[bytes | None] = mapped_column(LargeBinary)
    guidelines_read: Mapped[int] = mapped_column(default=0)  # the version she acknowledged
    paused_at: Mapped[datetime | None]
    pause_reason: Mapped[str | None]
    standing: Mapped[Standing] = mapped_column(text_enum(Standing), default=Standing.GOOD)
    gold_share: Mapped[float | None] = mapped_column(Float)  # hers instead of the project's rate
    gold_seen: Mapped[int] = mapped_column(default=0)
    gold_passed: Mapped[int] = mapped_column(default=0)
    claimed: Mapped[int] = mapped_column(default=0)  # assignments ever handed to her
    # Own tasks that she is to judge again under changed guidelines: how many wait, about.
    re_asks: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    weight: Mapped[float] = mapped_column(Float, default=1.0)
    # What she may judge: tasks that need nothing beyond her expertise, in a language of hers (none
    # named: in any); and her own limits, where the project's are not hers.
    expertise: Mapped[list[str]] = mapped_column(
        ARRAY(Text), default=list, server_default=text("'{}'")
    )
    languages: Mapped[list[str]] = mapped_column(
        ARRAY(Text), default=list, server_default=text("'{}'")
    )
    daily_limit: Mapped[int | None]
    total_limit: Mapped[int | None]
    qualified_at: Mapped[datetime | None]  # passed, let in by an admin, or here before it was asked
    # Attempts up to this number may begin at once, whatever the project allows: an admin said so.
    attempts_granted: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    # Since when her judgements stay out of every new snapshot, and why.
    excluded_at: Mapped[datetime | None]
    exclude_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    user: Mapped[User] = relationship(lazy="raise")
    project: Mapped[Project] = relationship(lazy="raise")


class MemberMessage(Base):
    """Plain text from an admin to one member, shown on her pages until she has read it."""

    __tablename__ = "member_message"
    __table_args__ = (
        CheckConstraint("read_at IS NULL OR withdrawn_at IS NULL", name="withdrawn_unread"),
        Index(
            "ix_member_message_unread",
            "project_id",
            "user_id",
            postgresql_where=text("read_at IS NULL AND withdrawn_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    body: Mapped[str]
    sent_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    sent_at: Mapped[datetime] = mapped_column(server_default=func.now())
    read_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
