"""What descends from whom is known both ways, and files that nothing needs go away."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0020_lineage"
down_revision: str | None = "0019_rounds"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RUN_INDEXES = ("parent_checkpoint_id", "reward_checkpoint_id", "reward_run_id")


def upgrade() -> None:
    op.create_table(
        "snapshot_guidelines",
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshot.id"],
            name=op.f("fk_snapshot_guidelines_snapshot_id_snapshot"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "version", name=op.f("pk_snapshot_guidelines")),
    )
    op.create_table(
        "snapshot_writer",
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("checkpoint_id", sa.Uuid(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshot.id"],
            name=op.f("fk_snapshot_writer_snapshot_id_snapshot"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "checkpoint_id", name=op.f("pk_snapshot_writer")),
    )
    op.create_index("ix_snapshot_writer_checkpoint", "snapshot_writer", ["checkpoint_id"])
    for column in RUN_INDEXES:
        op.create_index(op.f(f"ix_run_{column}"), "run", [column])
    op.create_index(op.f("ix_checkpoint_run_id"), "checkpoint", ["run_id"])
    op.create_index(op.f("ix_checkpoint_parent_id"), "checkpoint", ["parent_id"])
    op.add_column("checkpoint", sa.Column("removed_at", sa.DateTime(timezone=True)))
    op.add_column("run", sa.Column("files_removed_at", sa.DateTime(timezone=True)))
    op.create_table(
        "retention",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("saved_days", sa.Integer(), nullable=True),
        sa.Column("failed_days", sa.Integer(), nullable=True),
        sa.Column("checkpoint_days", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_retention_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_retention")),
    )
    op.create_table(
        "clean_up",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed", postgresql.JSONB(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_clean_up_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["user.id"],
            name=op.f("fk_clean_up_created_by_user"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clean_up")),
    )
    op.create_index(op.f("ix_clean_up_project_id"), "clean_up", ["project_id"])


def downgrade() -> None:
    op.drop_table("clean_up")
    op.drop_table("retention")
    op.drop_column("run", "files_removed_at")
    op.drop_column("checkpoint", "removed_at")
    op.drop_index(op.f("ix_checkpoint_parent_id"), table_name="checkpoint")
    op.drop_index(op.f("ix_checkpoint_run_id"), table_name="checkpoint")
    for column in RUN_INDEXES:
        op.drop_index(op.f(f"ix_run_{column}"), table_name="run")
    op.drop_table("snapshot_writer")
    op.drop_table("snapshot_guidelines")
