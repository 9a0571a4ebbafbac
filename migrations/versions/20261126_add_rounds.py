"""Rounds of the loop, what happens in them, and the policy by which they go."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0019_rounds"
down_revision: str | None = "0018_workers"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(astext_type=sa.Text())
STATES = ("running", "failed", "succeeded", "cancelled")
STEPS = ("generate", "rank", "freeze", "train", "evaluate", "promote")
MADE = {
    "former_checkpoint_id": "checkpoint",
    "former_reward_id": "checkpoint",
    "generation_id": "generation",
    "evaluation_id": "evaluation",
    "snapshot_id": "snapshot",
    "writer_checkpoint_id": "checkpoint",
    "reward_checkpoint_id": "checkpoint",
}


def _words(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=None)


def _of(table: str, column: str, other: str, **more: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}_{other}"), **more
    )


def upgrade() -> None:
    op.create_table(
        "round_policy",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("values", JSON, nullable=False),
        sa.Column("changed_at", TIME, server_default=sa.text("now()"), nullable=False),
        _of("round_policy", "project_id", "project", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_round_policy")),
    )
    op.create_table(
        "round",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", _words("roundstate", *STATES), nullable=False),
        sa.Column("step", _words("step", *STEPS), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("is_under_way", sa.Boolean(), nullable=False),
        sa.Column("policy", JSON, nullable=False),
        sa.Column("paused_at", TIME),
        sa.Column("error", sa.Text()),
        *(sa.Column(name, sa.Uuid()) for name in MADE),
        sa.Column("run_ids", JSON, nullable=False),
        sa.Column("is_promoted", sa.Boolean()),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("judged_since", TIME),
        sa.Column("created_by", sa.Uuid()),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("step_began_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", TIME),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'cancelled'))",
            name=op.f("ck_round_finished_when_final"),
        ),
        sa.CheckConstraint(
            "(state = 'failed') = (error IS NOT NULL)", name=op.f("ck_round_failed_says_why")
        ),
        _of("round", "project_id", "project", ondelete="CASCADE"),
        _of("round", "created_by", "user", ondelete="SET NULL"),
        *(_of("round", column, other) for column, other in MADE.items()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_round")),
        sa.UniqueConstraint("project_id", "number", name=op.f("uq_round_project_id_number")),
    )
    op.create_index(
        "uq_round_open",
        "round",
        ["project_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "round_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("round_id", sa.Uuid(), nullable=False),
        sa.Column("step", _words("step", *STEPS), nullable=False),
        sa.Column("at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        _of("round_event", "round_id", "round", ondelete="CASCADE"),
        _of("round_event", "user_id", "user", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_round_event")),
    )
    op.create_index(op.f("ix_round_event_round_id"), "round_event", ["round_id"])


def downgrade() -> None:
    for table in ("round_event", "round", "round_policy"):
        op.drop_table(table)
