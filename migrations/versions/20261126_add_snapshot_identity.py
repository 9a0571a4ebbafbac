"""Snapshots say what they are by content, and how far a running one is."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013_snapshot_identity"
down_revision: str | None = "0012_import_checks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("snapshot", sa.Column("identity", sa.Text(), nullable=True))
    op.add_column("snapshot", sa.Column("contents", sa.Text(), nullable=True))
    op.add_column(
        "snapshot",
        sa.Column("prompts_done", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("snapshot", sa.Column("prompts_total", sa.Integer(), nullable=True))


def downgrade() -> None:
    for column in ("prompts_total", "prompts_done", "contents", "identity"):
        op.drop_column("snapshot", column)
