"""Two models are compared by people; a project has a promoted one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0017_evaluation"
down_revision: str | None = "0016_run_watching"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NOW = sa.text("now()")
STATES = ("queued", "running", "succeeded", "failed", "cancelled")


def upgrade() -> None:
    op.add_column("task", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    _evaluation()
    _evaluation_prompt()
    _promotions()


def _text_enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=None)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _evaluation() -> None:
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("a_checkpoint_id", sa.Uuid(), nullable=False),
        sa.Column("b_checkpoint_id", sa.Uuid(), nullable=True),
        sa.Column("reward_checkpoint_id", sa.Uuid(), nullable=True),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column("warnings", postgresql.JSONB(), nullable=False),
        sa.Column("state", _text_enum("jobstate", *STATES), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _time("seen_at"),
        _time("cancel_requested_at"),
        sa.Column("activity", sa.Text(), nullable=True),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        _time("opened_at"),
        _time("closed_at"),
        sa.Column("close_reason", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        _time("started_at"),
        _time("finished_at"),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name=op.f("ck_evaluation_finished_when_final"),
        ),
        sa.CheckConstraint(
            "a_checkpoint_id <> b_checkpoint_id", name=op.f("ck_evaluation_two_contestants")
        ),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (close_reason IS NULL)",
            name=op.f("ck_evaluation_closed_for_a_reason"),
        ),
        _foreign("evaluation", "project_id", "project", "CASCADE"),
        _foreign("evaluation", "a_checkpoint_id", "checkpoint"),
        _foreign("evaluation", "b_checkpoint_id", "checkpoint"),
        _foreign("evaluation", "reward_checkpoint_id", "checkpoint"),
        _foreign("evaluation", "created_by", "user", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
    )
    op.create_index("ix_evaluation_project", "evaluation", ["project_id", "created_at"])
    op.create_index(op.f("ix_evaluation_a_checkpoint_id"), "evaluation", ["a_checkpoint_id"])
    op.create_index(op.f("ix_evaluation_b_checkpoint_id"), "evaluation", ["b_checkpoint_id"])
    op.create_index(
        "ix_evaluation_unfinished",
        "evaluation",
        ["state"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "ix_evaluation_judged",
        "evaluation",
        ["opened_at"],
        postgresql_where=sa.text("opened_at IS NOT NULL AND closed_at IS NULL"),
    )


def _evaluation_prompt() -> None:
    op.create_table(
        "evaluation_prompt",
        sa.Column("evaluation_id", sa.Uuid(), nullable=False),
        sa.Column("prompt_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("a_response_id", sa.Uuid(), nullable=True),
        sa.Column("b_response_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("is_equal", sa.Boolean(), nullable=False),
        sa.Column("left_out", sa.Text(), nullable=True),
        sa.Column("a_score", sa.Float(), nullable=True),
        sa.Column("b_score", sa.Float(), nullable=True),
        sa.Column("a_samples", postgresql.JSONB(), nullable=True),
        sa.Column("b_samples", postgresql.JSONB(), nullable=True),
        sa.CheckConstraint(
            "task_id IS NULL OR NOT is_equal",
            name=op.f("ck_evaluation_prompt_equal_needs_no_judge"),
        ),
        _foreign("evaluation_prompt", "evaluation_id", "evaluation", "CASCADE"),
        _foreign("evaluation_prompt", "prompt_id", "prompt", "CASCADE"),
        _foreign("evaluation_prompt", "a_response_id", "response", "CASCADE"),
        _foreign("evaluation_prompt", "b_response_id", "response", "CASCADE"),
        _foreign("evaluation_prompt", "task_id", "task", "SET NULL"),
        sa.PrimaryKeyConstraint("evaluation_id", "prompt_id", name=op.f("pk_evaluation_prompt")),
    )
    for column in ("prompt_id", "a_response_id", "b_response_id", "task_id"):
        op.create_index(op.f(f"ix_evaluation_prompt_{column}"), "evaluation_prompt", [column])


def _promotions() -> None:
    op.create_table(
        "promotion_rule",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("demand", _text_enum("demand", "better", "by_more", "not_worse"), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("margin", sa.Float(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "threshold >= 0.5 AND threshold < 1", name=op.f("ck_promotion_rule_threshold")
        ),
        sa.CheckConstraint("margin > 0 AND margin < 0.5", name=op.f("ck_promotion_rule_margin")),
        _foreign("promotion_rule", "project_id", "project", "CASCADE"),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_promotion_rule")),
    )
    op.create_table(
        "promotion",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("checkpoint_id", sa.Uuid(), nullable=True),
        sa.Column("evaluation_id", sa.Uuid(), nullable=True),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        _foreign("promotion", "project_id", "project", "CASCADE"),
        _foreign("promotion", "checkpoint_id", "checkpoint"),
        _foreign("promotion", "evaluation_id", "evaluation", "SET NULL"),
        _foreign("promotion", "undoes", "promotion"),
        _foreign("promotion", "by", "user", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion")),
    )
    op.create_index("ix_promotion_project", "promotion", ["project_id", "id"])
    op.create_index(op.f("ix_promotion_checkpoint_id"), "promotion", ["checkpoint_id"])


def _foreign(
    table: str, column: str, to: str, on_delete: str | None = None
) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}_{to}"), ondelete=on_delete
    )


def downgrade() -> None:
    for table in ("promotion", "promotion_rule", "evaluation_prompt", "evaluation"):
        op.drop_table(table)
    op.drop_column("task", "closed_at")
