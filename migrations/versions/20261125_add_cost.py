"""What people are paid, so that a project can tell what its labels cost."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007_cost"
down_revision: str | None = "0006_reviews"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("project", sa.Column("cost_per_hour", sa.Numeric(12, 4), nullable=True))
    op.add_column("project", sa.Column("cost_per_judgement", sa.Numeric(12, 4), nullable=True))
    op.add_column(
        "project", sa.Column("currency", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_project_cost"), "project", "cost_per_hour >= 0 AND cost_per_judgement >= 0"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_project_cost"), "project")
    op.drop_column("project", "currency")
    op.drop_column("project", "cost_per_judgement")
    op.drop_column("project", "cost_per_hour")
