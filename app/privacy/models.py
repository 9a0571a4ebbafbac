"""What was erased of whom."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JsonObject


class Erasure(Base):
    """Who a person is, her judgements or her texts were erased. It names nobody: ids and numbers.

    Kept beside the database as well, so that a backup from before does not bring her back.
    """

    __tablename__ = "erasure"
    __table_args__ = (
        CheckConstraint("identity OR judgements OR texts", name="of_something"),
        CheckConstraint("project_id IS NULL OR NOT identity", name="identity_is_everywhere"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    project_id: Mapped[UUID | None] = mapped_column(  # None: everywhere
        ForeignKey("project.id", ondelete="CASCADE")
    )
    identity: Mapped[bool] = mapped_column(default=False)
    judgements: Mapped[bool] = mapped_column(default=False)
    texts: Mapped[bool] = mapped_column(default=False)
    counts: Mapped[JsonObject] = mapped_column(default=dict)  # what went, in numbers
    by: Mapped[UUID | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
