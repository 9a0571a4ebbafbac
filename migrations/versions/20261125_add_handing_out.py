"""Add what decides who gets which task: lanes, limits, silent repeats."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003_handing_out"
down_revision: str | None = "0002_job_queue"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TAGS = postgresql.ARRAY(sa.Text())
WANTED = sa.text("kind = 'ordinary' AND leased + counted < wanted")
REPEAT = sa.text("is_repeat AND display_order IS NOT NULL")

# Languages that prompts have already, as `tasks.rules.lane` makes lanes of them.
LANGUAGE = """
    regexp_replace(trim(lower(split_part(replace(prompt.language, '_', '-'), '-', 1))),
                   '\\s+', ' ', 'g')
"""
LANES = f"""
    INSERT INTO task_lane (project_id, key, language, expertise)
    SELECT DISTINCT project_id, json_build_array({LANGUAGE})::text, {LANGUAGE}, '{{}}'::text[]
    FROM prompt WHERE {LANGUAGE} <> ''
"""
TASKS = f"""
    UPDATE task SET lane = json_build_array({LANGUAGE})::text
    FROM prompt WHERE prompt.id = task.prompt_id AND {LANGUAGE} <> ''
"""


def upgrade() -> None:
    op.add_column(
        "project", sa.Column("repeat_rate", sa.Double(), server_default="0", nullable=False)
    )
    op.add_column("project", sa.Column("daily_limit", sa.Integer()))
    op.add_column("project", sa.Column("total_limit", sa.Integer()))
    op.add_column("project", sa.Column("largest_share", sa.SmallInteger()))
    op.create_check_constraint(
        op.f("ck_project_repeat_rate"), "project", "repeat_rate BETWEEN 0 AND 0.2"
    )
    op.create_check_constraint(
        op.f("ck_project_limits"), "project", "daily_limit >= 1 AND total_limit >= 1"
    )
    op.create_check_constraint(
        op.f("ck_project_largest_share"), "project", "largest_share BETWEEN 1 AND 100"
    )
    for name in ("expertise", "languages"):
        op.add_column("membership", sa.Column(name, TAGS, server_default="{}", nullable=False))
    op.add_column("membership", sa.Column("daily_limit", sa.Integer()))
    op.add_column("membership", sa.Column("total_limit", sa.Integer()))
    op.create_check_constraint(
        op.f("ck_membership_limits"), "membership", "daily_limit >= 1 AND total_limit >= 1"
    )
    op.add_column("prompt", sa.Column("expertise", TAGS, server_default="{}", nullable=False))
    op.create_table(
        "task_lane",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("expertise", TAGS, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_task_lane_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "key", name=op.f("pk_task_lane")),
    )
    op.add_column("task", sa.Column("lane", sa.Text(), server_default="", nullable=False))
    op.execute(LANES)
    op.execute(TASKS)
    op.drop_index("ix_task_open", table_name="task")
    columns = ["project_id", "lane", sa.literal_column("priority DESC"), "random_key"]
    op.create_index("ix_task_open", "task", columns, postgresql_where=WANTED)
    op.create_index(
        "uq_assignment_repeat",
        "assignment",
        ["task_id", "user_id"],
        unique=True,
        postgresql_where=REPEAT,
    )


def downgrade() -> None:
    op.drop_index("uq_assignment_repeat", table_name="assignment")
    op.drop_index("ix_task_open", table_name="task")
    columns = ["project_id", sa.literal_column("priority DESC"), "random_key"]
    op.create_index("ix_task_open", "task", columns, postgresql_where=WANTED)
    op.drop_column("task", "lane")
    op.drop_table("task_lane")
    op.drop_column("prompt", "expertise")
    op.drop_constraint(op.f("ck_membership_limits"), "membership")
    op.drop_constraint(op.f("ck_project_largest_share"), "project")
    op.drop_constraint(op.f("ck_project_limits"), "project")
    op.drop_constraint(op.f("ck_project_repeat_rate"), "project")
    for name in ("expertise", "languages", "daily_limit", "total_limit"):
        op.drop_column("membership", name)
    for name in ("repeat_rate", "daily_limit", "total_limit", "largest_share"):
        op.drop_column("project", name)
