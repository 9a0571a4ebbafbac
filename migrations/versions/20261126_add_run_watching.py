"""Long curves in blocks, resources and logs of running attempts, rehearsals of runs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0016_run_watching"
down_revision: str | None = "0015_erasure"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RUN_KINDS = ("sft", "reward", "dpo", "ppo")
STATES = ("queued", "running", "succeeded", "failed", "cancelled")

# The complete blocks of what was logged so far: all but the last of each attempt.
BLOCKS = """
    INSERT INTO metric_block (run_id, attempt, block, first_step, last_step, values)
    SELECT run_id, attempt, block, min(first_step), max(last_step), jsonb_object_agg(key, figures)
    FROM (
        SELECT run_id, attempt, step / 256 AS block, key, min(step) AS first_step,
               max(step) AS last_step,
               jsonb_build_object(
                   'n', count(*), 'mean', avg(value::numeric),
                   'min', (array_agg(jsonb_build_array(step, value)
                                     ORDER BY value::numeric, step))[1],
                   'max', (array_agg(jsonb_build_array(step, value)
                                     ORDER BY value::numeric DESC, step))[1]
               ) AS figures
        FROM metric CROSS JOIN LATERAL jsonb_each(values) AS entry(key, value)
        WHERE jsonb_typeof(value) = 'number'
          AND step / 256 < (
              SELECT max(latest.step) / 256 FROM metric AS latest
              WHERE latest.run_id = metric.run_id AND latest.attempt = metric.attempt
          )
        GROUP BY run_id, attempt, step / 256, key
    ) AS each_metric
    GROUP BY run_id, attempt, block
"""


def upgrade() -> None:
    op.create_table(
        "metric_block",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("first_step", sa.Integer(), nullable=False),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("values", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "attempt", "block", name=op.f("pk_metric_block")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], ondelete="CASCADE", name=op.f("fk_metric_block_run_id_run")
        ),
    )
    op.create_table(
        "run_usage",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("values", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_usage")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], ondelete="CASCADE", name=op.f("fk_run_usage_run_id_run")
        ),
    )
    op.create_index("ix_run_usage_run", "run_usage", ["run_id", "id"])
    op.create_table(
        "run_log",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_log")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], ondelete="CASCADE", name=op.f("fk_run_log_run_id_run")
        ),
    )
    op.create_table(
        "run_check",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                *RUN_KINDS, name="runkind", native_enum=False, create_constraint=True, length=None
            ),
            nullable=False,
        ),
        sa.Column("base", postgresql.JSONB(), nullable=False),
        sa.Column("parent_checkpoint_id", sa.Uuid(), nullable=True),
        sa.Column("reward_checkpoint_id", sa.Uuid(), nullable=True),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                *STATES, name="jobstate", native_enum=False, create_constraint=True, length=None
            ),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activity", sa.Text(), nullable=True),
        sa.Column("report", postgresql.JSONB(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))",
            name="finished_when_final",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_check")),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            ondelete="CASCADE",
            name=op.f("fk_run_check_project_id_project"),
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshot.id"],
            ondelete="CASCADE",
            name=op.f("fk_run_check_snapshot_id_snapshot"),
        ),
        sa.ForeignKeyConstraint(
            ["parent_checkpoint_id"],
            ["checkpoint.id"],
            ondelete="CASCADE",
            name=op.f("fk_run_check_parent_checkpoint_id_checkpoint"),
        ),
        sa.ForeignKeyConstraint(
            ["reward_checkpoint_id"],
            ["checkpoint.id"],
            ondelete="CASCADE",
            name=op.f("fk_run_check_reward_checkpoint_id_checkpoint"),
        ),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["user.id"],
            ondelete="SET NULL",
            name=op.f("fk_run_check_created_by_user"),
        ),
    )
    op.create_index("ix_run_check_project", "run_check", ["project_id", "created_at"])
    op.execute(BLOCKS)


def downgrade() -> None:
    for table in ("run_check", "run_log", "run_usage", "metric_block"):
        op.drop_table(table)
