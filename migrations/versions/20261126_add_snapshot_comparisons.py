"""What two snapshots differ in, computed once."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014_snapshot_comparisons"
down_revision: str | None = "0013_snapshot_identity"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(astext_type=sa.Text())
STATES = ("queued", "running", "succeeded", "failed", "cancelled")


def upgrade() -> None:
    op.create_table(
        "snapshot_comparison",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("before_id", sa.Uuid(), nullable=False),
        sa.Column("after_id", sa.Uuid(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                *STATES, name="jobstate", native_enum=False, create_constraint=True, length=None
            ),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seen_at", TIME),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("summary", JSON, nullable=False),
        sa.Column("path", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", TIME),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name=op.f("ck_snapshot_comparison_finished_when_final"),
        ),
        sa.CheckConstraint(
            "state <> 'succeeded' OR path IS NOT NULL",
            name=op.f("ck_snapshot_comparison_succeeded_has_files"),
        ),
        sa.ForeignKeyConstraint(
            ["before_id"],
            ["snapshot.id"],
            name=op.f("fk_snapshot_comparison_before_id_snapshot"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["after_id"],
            ["snapshot.id"],
            name=op.f("fk_snapshot_comparison_after_id_snapshot"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot_comparison")),
        sa.UniqueConstraint(
            "before_id", "after_id", name=op.f("uq_snapshot_comparison_before_id_after_id")
        ),
    )
    op.create_index(op.f("ix_snapshot_comparison_after_id"), "snapshot_comparison", ["after_id"])


def downgrade() -> None:
    op.drop_table("snapshot_comparison")
