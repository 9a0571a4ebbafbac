"""People and their keys."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import Text

from app.db import Base, JsonObject, text_enum


class Role(StrEnum):
    """What a person may do, on the installation and inside a project."""

    ADMIN = "admin"
    REVIEWER = "reviewer"
    ANNOTATOR = "annotator"
    VIEWER = "viewer"


class UserKind(StrEnum):
    """A person signs in; the others only carry judgements.

    Of an erased one nothing is known any more: she has a number instead of a name.
    """

    PERSON = "person"
    IMPORTED = "imported"
    SIMULATED = "simulated"
    ERASED = "erased"


class User(Base):
    __tablename__ = "user"
    __table_args__ = (
        Index("uq_user_email", text("lower(email)"), unique=True),
        CheckConstraint("(kind = 'person') = (email IS NOT NULL)", name="email_of_a_person"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    kind: Mapped[UserKind] = mapped_column(text_enum(UserKind), default=UserKind.PERSON)
    email: Mapped[str | None]
    name: Mapped[str]
    role: Mapped[Role] = mapped_column(text_enum(Role), default=Role.ANNOTATOR)
    password_hash: Mapped[str | None]
    preferences: Mapped[JsonObject] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN


class LoginSession(Base):
    """A signed-in browser. The cookie holds the token; the row only its SHA-256."""

    __tablename__ = "login_session"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    user: Mapped[User] = relationship(lazy="raise")


class ApiToken(Base):
    """A key for scripts. Shown once; kept as SHA-256, found by its prefix."""

    __tablename__ = "api_token"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="raise")


class LinkKind(StrEnum):
    SETUP = "setup"
    INVITATION = "invitation"


class OneTimeLink(Base):
    """A set-up or invitation link: 256 bits, kept as SHA-256, works once, ends."""

    __tablename__ = "one_time_link"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    kind: Mapped[LinkKind] = mapped_column(text_enum(LinkKind))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    email: Mapped[str | None]
    role: Mapped[Role] = mapped_column(text_enum(Role))
    project_id: Mapped[UUID | None]  # a string key to the right: projects stand after accounts
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class RateLimit(Base):
    """A token bucket in the database, shared by all web processes."""

    __tablename__ = "rate_limit"

    key: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditEvent(Base):
    """Who did what to which row, when. Append-only; each row's hash covers the one before.

    The erasure of a person takes her name out of what the rows say. Such a row keeps its hash, so
    that the chain holds, and says since when it is not what was hashed.
    """

    __tablename__ = "audit_event"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    project_id: Mapped[UUID | None] = mapped_column(index=True)
    action: Mapped[str]
    target: Mapped[str]
    details: Mapped[JsonObject] = mapped_column(default=dict)
    previous_hash: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    redacted_at: Mapped[datetime | None]
