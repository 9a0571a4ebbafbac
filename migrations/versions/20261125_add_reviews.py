"""Let reviewers withdraw an adjudication, and send a task back for more judgements."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006_reviews"
down_revision: str | None = "0005_quality_parts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column(
        "task", sa.Column("at_least", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.add_column("adjudication", sa.Column("withdrawn_at", sa.DateTime(timezone=True)))
    op.add_column("adjudication", sa.Column("withdrawn_by", sa.Uuid()))
    op.create_foreign_key(
        op.f("fk_adjudication_withdrawn_by_user"),
        "adjudication",
        "user",
        ["withdrawn_by"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_check_constraint(
        op.f("ck_adjudication_withdrawn_by_somebody"),
        "adjudication",
        "withdrawn_by IS NULL OR withdrawn_at IS NOT NULL",
    )
    op.create_table(
        "send_back",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("more", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("wanted_before", sa.SmallInteger(), nullable=False),
        sa.Column("at_least_before", sa.SmallInteger(), nullable=False),
        sa.Column("priority_before", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
        sa.Column("undone_by", sa.Uuid()),
        sa.CheckConstraint("more BETWEEN 1 AND 3", name=op.f("ck_send_back_more")),
        sa.CheckConstraint(
            "undone_by IS NULL OR undone_at IS NOT NULL",
            name=op.f("ck_send_back_undone_by_somebody"),
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_send_back_task_id_task"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_send_back_user_id_user"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["undone_by"],
            ["user.id"],
            name=op.f("fk_send_back_undone_by_user"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_send_back")),
    )
    op.create_index("ix_send_back_task", "send_back", ["task_id", "created_at"])


def downgrade() -> None:
    """A task that asked for more goes on to want it; a withdrawn adjudication is gone."""
    op.drop_table("send_back")
    op.execute("DELETE FROM adjudication WHERE withdrawn_at IS NOT NULL")
    op.drop_column("adjudication", "withdrawn_by")  # and what checks and points with it
    op.drop_column("adjudication", "withdrawn_at")
    op.drop_column("task", "at_least")
