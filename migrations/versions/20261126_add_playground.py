"""Conversations with checkpoints: turns, answers, and what other models make of them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0022_playground"
down_revision: str | None = "0021_writers"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(astext_type=sa.Text())
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
FINISHED = "(finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))"
NOW = sa.text("now()")


def one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=None)


def to(table: str, column: str, target: str, ondelete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{target}.id"],
        name=op.f(f"fk_{table}_{column}_{target}"),
        ondelete=ondelete,
    )


def upgrade() -> None:
    op.create_table(
        "play_conversation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("system", sa.Text()),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Uuid()),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("asked_at", TIME, server_default=NOW, nullable=False),
        to("play_conversation", "project_id", "project", "CASCADE"),
        to("play_conversation", "created_by", "user", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_conversation")),
    )
    op.create_index("ix_play_conversation_project", "play_conversation", ["project_id", "asked_at"])
    op.create_table(
        "play_turn",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("parent_answer_id", sa.Uuid()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("state", one_of("jobstate", *STATES), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seen_at", TIME),
        sa.Column("task_id", sa.Uuid()),
        sa.Column("sent_at", TIME),
        sa.Column("sent_by", sa.Uuid()),
        sa.Column("created_by", sa.Uuid()),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("finished_at", TIME),
        sa.CheckConstraint(FINISHED, name=op.f("ck_play_turn_finished_when_final")),
        to("play_turn", "conversation_id", "play_conversation", "CASCADE"),
        to("play_turn", "task_id", "task", "SET NULL"),
        to("play_turn", "sent_by", "user", "SET NULL"),
        to("play_turn", "created_by", "user", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_turn")),
    )
    op.create_index(op.f("ix_play_turn_conversation_id"), "play_turn", ["conversation_id"])
    op.create_index(op.f("ix_play_turn_parent_answer_id"), "play_turn", ["parent_answer_id"])
    op.create_index(
        "ix_play_turn_unfinished",
        "play_turn",
        ["state"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "play_answer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("turn_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", sa.Uuid()),
        sa.Column("asked_by", sa.Uuid()),
        sa.Column("state", one_of("jobstate", *STATES), nullable=False),
        sa.Column("stop_requested_at", TIME),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tokens", JSON, nullable=False),
        sa.Column("why_ended", sa.Text()),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("finished_at", TIME),
        sa.CheckConstraint(FINISHED, name=op.f("ck_play_answer_finished_when_final")),
        to("play_answer", "turn_id", "play_turn", "CASCADE"),
        to("play_answer", "checkpoint_id", "checkpoint", "SET NULL"),
        to("play_answer", "asked_by", "user", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_answer")),
        sa.UniqueConstraint("turn_id", "place", name=op.f("uq_play_answer_turn_id_place")),
    )
    op.create_index(op.f("ix_play_answer_checkpoint_id"), "play_answer", ["checkpoint_id"])
    op.create_index(
        "uq_play_answer_unfinished",
        "play_answer",
        ["asked_by", "checkpoint_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_foreign_key(
        op.f("fk_play_turn_parent_answer_id_play_answer"),
        "play_turn",
        "play_answer",
        ["parent_answer_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_table(
        "play_piece",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("answer_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        to("play_piece", "answer_id", "play_answer", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_piece")),
    )
    op.create_index(op.f("ix_play_piece_answer_id"), "play_piece", ["answer_id"])
    op.create_table(
        "play_reading",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("answer_id", sa.Uuid(), nullable=False),
        sa.Column("checkpoint_id", sa.Uuid()),
        sa.Column("kind", one_of("readingkind", "tokens", "score"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.Column("tokens", JSON, nullable=False),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("error", sa.Text()),
        to("play_reading", "answer_id", "play_answer", "CASCADE"),
        to("play_reading", "checkpoint_id", "checkpoint", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_play_reading")),
        sa.UniqueConstraint(
            "answer_id", "checkpoint_id", name=op.f("uq_play_reading_answer_id_checkpoint_id")
        ),
    )
    op.create_index(op.f("ix_play_reading_checkpoint_id"), "play_reading", ["checkpoint_id"])


def downgrade() -> None:
    op.drop_constraint(op.f("fk_play_turn_parent_answer_id_play_answer"), "play_turn")
    for table in ("play_reading", "play_piece", "play_answer", "play_turn", "play_conversation"):
        op.drop_table(table)
