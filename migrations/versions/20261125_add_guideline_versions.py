"""Guidelines say why they changed and show examples; drafts of them; samples that are re-asked."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009_guideline_versions"
down_revision: str | None = "0008_care"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.add_column("guidelines", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "guidelines",
        sa.Column("examples", JSON, server_default=sa.text("'[]'"), nullable=False),
    )
    op.add_column("guidelines", sa.Column("needed", sa.Integer()))
    op.execute("UPDATE guidelines SET needed = version")  # every change had to be read until now
    op.alter_column("guidelines", "needed", nullable=False)
    op.create_check_constraint(
        op.f("ck_guidelines_needed"), "guidelines", "needed BETWEEN 1 AND version"
    )
    op.create_table(
        "guidelines_draft",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("base_version", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("is_clarification", sa.Boolean(), nullable=False),
        sa.Column("examples", JSON, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_guidelines_draft_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user.id"],
            name=op.f("fk_guidelines_draft_user_id_user"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "user_id", name=op.f("pk_guidelines_draft")),
    )
    op.create_index(op.f("ix_guidelines_draft_user_id"), "guidelines_draft", ["user_id"])
    op.add_column(
        "membership",
        sa.Column("re_asks", sa.Integer(), server_default="0", nullable=False),
    )
    op.create_table(
        "re_ask",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("to_version", sa.Integer(), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Uuid()),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("cancelled_at", TIME),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_re_ask_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["user.id"],
            name=op.f("fk_re_ask_created_by_user"),
            ondelete="SET NULL",
        ),
        sa.CheckConstraint("from_version < to_version", name=op.f("ck_re_ask_versions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_re_ask")),
    )
    op.create_index("ix_re_ask_project", "re_ask", ["project_id", "created_at"])
    op.create_table(
        "re_ask_pair",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("re_ask_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Float(), server_default=sa.text("random()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_re_ask_pair_user_id_user"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_re_ask_pair_task_id_task"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["re_ask_id"],
            ["re_ask.id"],
            name=op.f("fk_re_ask_pair_re_ask_id_re_ask"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "task_id", name=op.f("pk_re_ask_pair")),
    )
    op.create_index(op.f("ix_re_ask_pair_re_ask_id"), "re_ask_pair", ["re_ask_id"])
    op.create_index(op.f("ix_re_ask_pair_task_id"), "re_ask_pair", ["task_id"])


def downgrade() -> None:
    op.drop_table("re_ask_pair")
    op.drop_table("re_ask")
    op.drop_column("membership", "re_asks")
    op.drop_table("guidelines_draft")
    op.drop_constraint(op.f("ck_guidelines_needed"), "guidelines")
    op.drop_column("guidelines", "needed")
    op.drop_column("guidelines", "examples")
    op.drop_column("guidelines", "note")
