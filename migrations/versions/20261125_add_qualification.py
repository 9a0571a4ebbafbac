"""Add qualification: what a project asks for, who has passed, and the attempts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004_qualification"
down_revision: str | None = "0003_handing_out"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SETTINGS = (
    ("qualification_size", sa.SmallInteger, "0"),
    ("qualification_pass", sa.Double, "0.8"),
    ("qualification_attempts", sa.SmallInteger, "2"),
    ("qualification_wait_hours", sa.Integer, "24"),
)


def upgrade() -> None:
    for name, kind, default in SETTINGS:
        op.add_column("project", sa.Column(name, kind(), server_default=default, nullable=False))
    op.create_check_constraint(
        op.f("ck_project_qualification"),
        "project",
        "qualification_size >= 0 AND qualification_attempts >= 1"
        " AND qualification_wait_hours >= 0"
        " AND qualification_pass > 0 AND qualification_pass <= 1",
    )
    op.add_column(
        "membership", sa.Column("qualified_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "membership",
        sa.Column("attempts_granted", sa.SmallInteger(), server_default="0", nullable=False),
    )
    op.create_index(
        "ix_task_qualification",
        "task",
        ["project_id", "random_key"],
        postgresql_where=sa.text("kind = 'qualification'"),
    )
    op.create_table(
        "qualification_attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("size", sa.SmallInteger(), nullable=False),
        sa.Column("needed", sa.SmallInteger(), nullable=False),
        sa.Column("answered", sa.SmallInteger(), nullable=False),
        sa.Column("correct", sa.SmallInteger(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "correct BETWEEN 0 AND answered AND answered <= size",
            name=op.f("ck_qualification_attempt_tally"),
        ),
        sa.CheckConstraint(
            "passed IS NULL OR finished_at IS NOT NULL",
            name=op.f("ck_qualification_attempt_passed_when_finished"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_qualification_attempt_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user.id"],
            name=op.f("fk_qualification_attempt_user_id_user"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qualification_attempt")),
        sa.UniqueConstraint(
            "project_id",
            "user_id",
            "number",
            name=op.f("uq_qualification_attempt_project_id_user_id_number"),
        ),
    )
    op.create_index(
        "uq_qualification_attempt_open",
        "qualification_attempt",
        ["project_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.add_column("assignment", sa.Column("attempt_id", sa.Uuid(), nullable=True))
    op.add_column("assignment", sa.Column("question", sa.SmallInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_assignment_attempt_id_qualification_attempt"),
        "assignment",
        "qualification_attempt",
        ["attempt_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_check_constraint(
        op.f("ck_assignment_question_of_an_attempt"),
        "assignment",
        "(attempt_id IS NULL) = (question IS NULL)",
    )
    op.create_index(
        "ix_assignment_attempt",
        "assignment",
        ["attempt_id"],
        postgresql_where=sa.text("attempt_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_column("assignment", "question")  # with what hangs on each of them
    op.drop_column("assignment", "attempt_id")
    op.drop_table("qualification_attempt")
    op.drop_index("ix_task_qualification", table_name="task")
    op.drop_column("membership", "attempts_granted")
    op.drop_column("membership", "qualified_at")
    for name, _, _ in reversed(SETTINGS):
        op.drop_column("project", name)
