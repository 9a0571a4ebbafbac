"""What is to be judged, what is known to be right, and who holds it now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.corpus.models import Prompt, Response
from app.db import Base, JsonObject, text_enum


class TaskKind(StrEnum):
    ORDINARY = "ordinary"
    GOLD = "gold"
    QUALIFICATION = "qualification"


class Task(Base):
    """A prompt with 2–10 responses in canonical order.

    `leased` counts open assignments, `counted` the judgements that count; for ordinary tasks the
    database itself keeps their sum within `wanted`. `at_least` is what a reviewer asks for, however
    few the project asks for of its tasks.
    """

    __tablename__ = "task"
    __table_args__ = (
        UniqueConstraint("project_id", "identity"),
        CheckConstraint("(kind = 'ordinary') = (wanted IS NOT NULL)", name="wanted_when_ordinary"),
        CheckConstraint("leased >= 0 AND counted >= 0", name="counters"),
        CheckConstraint("wanted IS NULL OR leased + counted <= wanted", name="never_too_many"),
        Index(
            "ix_task_open",
            "project_id",
            "lane",
            text("priority DESC"),
            "random_key",
            postgresql_where=text("kind = 'ordinary' AND leased + counted < wanted"),
        ),
        Index("ix_task_import", "import_id", "id", postgresql_where=text("import_id IS NOT NULL")),
        Index("ix_task_gold", "project_id", "random_key", postgresql_where=text("kind = 'gold'")),
        Index(
            "ix_task_qualification",
            "project_id",
            "random_key",
            postgresql_where=text("kind = 'qualification'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID]  # its prompt's: the key to that holds both
    prompt_id: Mapped[UUID] = mapped_column(ForeignKey("prompt.id", ondelete="CASCADE"), index=True)
    identity: Mapped[bytes] = mapped_column(
        LargeBinary
    )  # SHA-256 of prompt + set of (text, source)
    kind: Mapped[TaskKind] = mapped_column(text_enum(TaskKind), default=TaskKind.ORDINARY)
    priority: Mapped[int] = mapped_column(default=0)
    lane: Mapped[str] = mapped_column(default="", server_default=text("''"))  # see TaskLane
    random_key: Mapped[float] = mapped_column(Float, server_default=func.random())
    wanted: Mapped[int | None] = mapped_column(SmallInteger)
    at_least: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    leased: Mapped[int] = mapped_column(SmallInteger, default=0)
    counted: Mapped[int] = mapped_column(SmallInteger, default=0)
    external_id: Mapped[str | None]
    import_id: Mapped[UUID | None]  # what brought it
    meta: Mapped[JsonObject] = mapped_column(default=dict)  # further keys of an imported row
    # What asked for it has its answer: it wants no more, whatever the project asks for later.
    closed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    prompt: Mapped[Prompt] = relationship(lazy="raise")


class TaskLane(Base):
    """What some tasks of a project ask of their judges: a language, expertise, or both.

    A claim looks only into the lanes that are open to the person, so that it never wades through
    what she may not judge. The lane of most tasks is the empty one; it asks nothing of anybody and
    has no row. A row stays when its tasks are done.
    """

    __tablename__ = "task_lane"

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(default="")  # the primary part of its tag
    expertise: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)


class TaskResponse(Base):
    """The responses of a task; `position` is the canonical order that `ranks` refer to."""

    __tablename__ = "task_response"
    __table_args__ = (UniqueConstraint("task_id", "response_id"),)

    task_id: Mapped[UUID] = mapped_column(
        ForeignKey("task.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    response_id: Mapped[UUID] = mapped_column(
        ForeignKey("response.id", ondelete="CASCADE"), index=True
    )

    response: Mapped[Response] = relationship(lazy="raise")


class GoldKey(Base):
    """What a correct judgement must satisfy, by canonical positions; hidden from annotators."""

    __tablename__ = "gold_key"

    task_id: Mapped[UUID] = mapped_column(
        ForeignKey("task.id", ondelete="CASCADE"), primary_key=True
    )
    prefers: Mapped[list[Any]]  # [[i, j]]: i better than j
    equal: Mapped[list[Any]] = mapped_column(default=list)  # [[i, j]]: i and j tie
    ties_allowed: Mapped[bool] = mapped_column(default=False)  # a tie satisfies `prefers` as well
    explanation: Mapped[str] = mapped_column(default="")
    suspended_at: Mapped[datetime | None]
    suspend_reason: Mapped[str | None]
    # Somebody looked at it and kept it: what was answered before speaks against it no more.
    upheld_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class QualificationAttempt(Base):
    """One try of a person at the qualification of a project, by the rules as they were then.

    `passed` is null while it goes on, and where it ended without a result: somebody let her in.
    """

    __tablename__ = "qualification_attempt"
    __table_args__ = (
        UniqueConstraint("project_id", "user_id", "number"),
        Index(
            "uq_qualification_attempt_open",
            "project_id",
            "user_id",
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
        CheckConstraint("correct BETWEEN 0 AND answered AND answered <= size", name="tally"),
        CheckConstraint("passed IS NULL OR finished_at IS NOT NULL", name="passed_when_finished"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(SmallInteger)  # her first, second … here
    size: Mapped[int] = mapped_column(SmallInteger)
    needed: Mapped[int] = mapped_column(SmallInteger)  # right answers that pass
    answered: Mapped[int] = mapped_column(SmallInteger, default=0)
    correct: Mapped[int] = mapped_column(SmallInteger, default=0)
    passed: Mapped[bool | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Outcome(StrEnum):
    """What came of an appeal."""

    STANDS = "stands"  # the key, or the pause
    WITHDRAWN = "withdrawn"  # the key
    CORRECTED = "corrected"  # the key
    LIFTED = "lifted"  # the pause


class Appeal(Base):
    """Somebody says that the answer to a question is wrong, or (`task_id` null) that her pause is.

    She learns the answer by a message. A pause names no task: she must not know what was gold.
    """

    __tablename__ = "appeal"
    __table_args__ = (
        CheckConstraint("(settled_at IS NULL) = (outcome IS NULL)", name="settled_with_an_outcome"),
        Index(
            "uq_appeal_open_question",
            "task_id",
            "user_id",
            unique=True,
            postgresql_where=text("settled_at IS NULL AND task_id IS NOT NULL"),
        ),
        Index(
            "uq_appeal_open_pause",
            "project_id",
            "user_id",
            unique=True,
            postgresql_where=text("settled_at IS NULL AND task_id IS NULL"),
        ),
        Index("ix_appeal_project", "project_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    outcome: Mapped[Outcome | None] = mapped_column(text_enum(Outcome))
    answer: Mapped[str | None]
    settled_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    settled_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is shown of a task; `texts` in canonical order."""

    messages: list[Any]
    system: str | None
    language: str | None
    texts: Sequence[str]


class AssignmentState(StrEnum):
    OPEN = "open"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    EXPIRED = "expired"


class SkipReason(StrEnum):
    UNSAFE = "unsafe"
    UNCLEAR = "unclear"
    LANGUAGE = "language"
    OUTSIDE_MY_KNOWLEDGE = "outside_my_knowledge"
    BROKEN = "broken"
    OTHER = "other"


class Assignment(Base):
    """A task lent to a person.

    Imported judgements have an assignment as well (`display_order` null: nobody saw it here), so
    that one path leads from a person to what she judged.
    """

    # Not columns: whether this very session has claimed it, and what the claim has read with it.
    is_new = False
    contents = cast(Contents | None, None)

    __tablename__ = "assignment"
    __table_args__ = (
        Index(
            "uq_assignment_task_user",
            "task_id",
            "user_id",
            unique=True,
            postgresql_where=text("NOT is_repeat"),
        ),
        # At most two open per person and project: the one on screen and the prefetched one.
        Index(
            "uq_assignment_slot",
            "project_id",
            "user_id",
            "slot",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        Index(
            "ix_assignment_expiry",
            "project_id",
            "leased_until",
            postgresql_where=text("state = 'open'"),
        ),
        # Each task comes again at most once; judgements that were imported may repeat as they do.
        Index(
            "uq_assignment_repeat",
            "task_id",
            "user_id",
            unique=True,
            postgresql_where=text("is_repeat AND display_order IS NOT NULL"),
        ),
        # Removing a task looks for all of them: the others know a part each. With the person,
        # so that a claim reads no more by it than by the unique one.
        Index("ix_assignment_task", "task_id", "user_id"),
        Index("ix_assignment_history", "user_id", "project_id", "finished_at"),
        CheckConstraint("slot IN (1, 2)", name="slot"),
        CheckConstraint("(state = 'open') = (finished_at IS NULL)", name="finished_when_not_open"),
        CheckConstraint(
            "state <> 'open' OR (leased_until IS NOT NULL AND display_order IS NOT NULL)",
            name="open_has_a_lease",
        ),
        CheckConstraint(
            "(state = 'skipped') = (skip_reason IS NOT NULL)", name="skipped_with_a_reason"
        ),
        CheckConstraint("(attempt_id IS NULL) = (question IS NULL)", name="question_of_an_attempt"),
        Index(
            "ix_assignment_attempt", "attempt_id", postgresql_where=text("attempt_id IS NOT NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID]  # its task's: the key to that holds both
    task_id: Mapped[UUID] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    state: Mapped[AssignmentState] = mapped_column(
        text_enum(AssignmentState), default=AssignmentState.OPEN
    )
    is_repeat: Mapped[bool] = mapped_column(default=False)  # never counts
    slot: Mapped[int] = mapped_column(SmallInteger, default=1)
    ordinal: Mapped[int] = mapped_column(default=0)  # her first, second … task in this project
    display_order: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    leased_until: Mapped[datetime | None]
    renewals: Mapped[int] = mapped_column(SmallInteger, default=0)
    skip_reason: Mapped[SkipReason | None] = mapped_column(text_enum(SkipReason))
    skip_note: Mapped[str | None]
    draft: Mapped[JsonObject | None]
    draft_revision: Mapped[int] = mapped_column(default=0)
    # Of a qualification: whose attempt it is part of, and its number there. Never counts.
    attempt_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("qualification_attempt.id", ondelete="CASCADE")
    )
    question: Mapped[int | None] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    task: Mapped[Task] = relationship(lazy="raise")


class ReAsk(Base):
    """A sample of judged tasks that the same people judge again under changed guidelines.

    `needed`: the version that one of them must have read before. It goes on until every pair has
    come again, or somebody cancels it.
    """

    __tablename__ = "re_ask"
    __table_args__ = (
        CheckConstraint("from_version < to_version", name="versions"),
        Index("ix_re_ask_project", "project_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    from_version: Mapped[int]
    to_version: Mapped[int]
    needed: Mapped[int]
    size: Mapped[int]  # judgements that it asked for
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    cancelled_at: Mapped[datetime | None]


class ReAskPair(Base):
    """A task that a person is to judge again. It waits until a repeat of it was lent to her."""

    __tablename__ = "re_ask_pair"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("user.id", ondelete="CASCADE"), primary_key=True
    )
    task_id: Mapped[UUID] = mapped_column(
        ForeignKey("task.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    re_ask_id: Mapped[UUID] = mapped_column(ForeignKey("re_ask.id", ondelete="CASCADE"), index=True)
    place: Mapped[float] = mapped_column(Float, server_default=func.random())
