"""Endpoints are compared and asked like checkpoints, and snapshots remember which wrote for them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0023_contestants"
down_revision: str | None = "0022_playground"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SIDES = ("a", "b")


def upgrade() -> None:
    _evaluation()
    _play_answer()
    op.create_table(
        "snapshot_endpoint",
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshot.id"],
            name=op.f("fk_snapshot_endpoint_snapshot_id_snapshot"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "source", name=op.f("pk_snapshot_endpoint")),
    )


def downgrade() -> None:
    op.drop_table("snapshot_endpoint")
    op.execute("DELETE FROM play_answer WHERE endpoint_id IS NOT NULL")
    op.drop_column("play_answer", "endpoint_id")  # and its indexes
    op.execute(
        "DELETE FROM evaluation WHERE a_endpoint_id IS NOT NULL OR b_endpoint_id IS NOT NULL"
    )
    for name in ("one_a", "one_b_at_most"):
        op.drop_constraint(op.f(f"ck_evaluation_{name}"), "evaluation")
    for side in SIDES:
        op.drop_column("evaluation", f"{side}_endpoint_id")
    op.create_check_constraint(
        op.f("ck_evaluation_two_contestants"), "evaluation", "a_checkpoint_id <> b_checkpoint_id"
    )
    op.alter_column("evaluation", "a_checkpoint_id", nullable=False)


def _evaluation() -> None:
    op.alter_column("evaluation", "a_checkpoint_id", nullable=True)
    for side in SIDES:
        column = f"{side}_endpoint_id"
        op.add_column("evaluation", sa.Column(column, sa.Uuid(), nullable=True))
        op.create_foreign_key(
            op.f(f"fk_evaluation_{column}_endpoint"), "evaluation", "endpoint", [column], ["id"]
        )
        op.create_index(op.f(f"ix_evaluation_{column}"), "evaluation", [column])
    op.drop_constraint(op.f("ck_evaluation_two_contestants"), "evaluation")
    for name, rule in (
        (
            "two_contestants",
            "a_checkpoint_id <> b_checkpoint_id AND a_endpoint_id <> b_endpoint_id",
        ),
        ("one_a", "num_nonnulls(a_checkpoint_id, a_endpoint_id) = 1"),
        ("one_b_at_most", "num_nonnulls(b_checkpoint_id, b_endpoint_id) <= 1"),
    ):
        op.create_check_constraint(op.f(f"ck_evaluation_{name}"), "evaluation", rule)


def _play_answer() -> None:
    op.add_column("play_answer", sa.Column("endpoint_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_play_answer_endpoint_id_endpoint"),
        "play_answer",
        "endpoint",
        ["endpoint_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(op.f("ix_play_answer_endpoint_id"), "play_answer", ["endpoint_id"])
    op.create_index(
        "uq_play_answer_unfinished_endpoint",
        "play_answer",
        ["asked_by", "endpoint_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
