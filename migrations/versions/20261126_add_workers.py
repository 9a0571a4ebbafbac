"""Workers are known; runs have a priority, needs, and more than one saved step."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0018_workers"
down_revision: str | None = "0017_evaluation"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("queues", JSON, nullable=False),
        sa.Column("queue_workers", JSON, nullable=False),
        sa.Column("capabilities", JSON, nullable=False),
        sa.Column("started_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("draining_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    for name, kind, default in (
        ("priority", sa.Integer(), "0"),
        ("needs", JSON, "'{}'"),
        ("saved", JSON, "'[]'"),
    ):
        op.add_column("run", sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
        op.alter_column("run", name, server_default=None)
    op.execute(
        "UPDATE run SET saved = jsonb_build_array("
        "jsonb_build_object('step', saved_step, 'path', saved_path)) WHERE saved_path IS NOT NULL"
    )


def downgrade() -> None:
    for name in ("saved", "needs", "priority"):
        op.drop_column("run", name)
    op.drop_table("worker")
