"""A generation has several writers, endpoints among them, and chooses its prompts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0021_writers"
down_revision: str | None = "0020_lineage"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NOW = sa.text("now()")
STATES = ("waiting", "written", "done", "passed_over", "failed")


def upgrade() -> None:
    op.alter_column("generation", "checkpoint_id", nullable=True)
    _endpoint()
    _writer()
    _generation_prompt()
    _writing()
    op.execute(
        """
        INSERT INTO writer (generation_id, place, checkpoint_id, source, name, n, temperatures,
                            top_p, max_new_tokens, seed)
        SELECT g.id, 0, c.id, 'checkpoint:' || left(replace(c.id::text, '-', ''), 8), c.name,
               coalesce((g.config ->> 'n')::smallint, 1),
               jsonb_build_array(coalesce((g.config ->> 'temperature')::float, 0.8)),
               coalesce((g.config ->> 'top_p')::float, 1.0),
               coalesce((g.config ->> 'max_new_tokens')::integer, 128),
               coalesce((g.config ->> 'seed')::integer, 42)
        FROM generation AS g JOIN checkpoint AS c ON c.id = g.checkpoint_id
        """
    )


def downgrade() -> None:
    for table in ("writing", "generation_prompt", "writer", "endpoint"):
        op.drop_table(table)
    op.execute("DELETE FROM generation WHERE checkpoint_id IS NULL")
    op.alter_column("generation", "checkpoint_id", nullable=False)


def _endpoint() -> None:
    op.create_table(
        "endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("key_name", sa.Text(), nullable=True),
        sa.Column("at_once", sa.SmallInteger(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["user.id"],
            name=op.f("fk_endpoint_created_by_user"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_endpoint_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint")),
    )
    op.create_index(
        "uq_endpoint_name",
        "endpoint",
        ["project_id", "name"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )


def _writer() -> None:
    op.create_table(
        "writer",
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("checkpoint_id", sa.Uuid(), nullable=True),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("temperatures", JSONB(), nullable=False),
        sa.Column("top_p", sa.Float(), nullable=False),
        sa.Column("max_new_tokens", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("system", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(checkpoint_id, endpoint_id) = 1", name=op.f("ck_writer_one_source")
        ),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_writer_checkpoint_id_checkpoint")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["endpoint.id"], name=op.f("fk_writer_endpoint_id_endpoint")
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generation.id"],
            name=op.f("fk_writer_generation_id_generation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("generation_id", "place", name=op.f("pk_writer")),
    )
    op.create_index("ix_writer_checkpoint_id", "writer", ["checkpoint_id"])
    op.create_index("ix_writer_endpoint_id", "writer", ["endpoint_id"])


def _generation_prompt() -> None:
    op.create_table(
        "generation_prompt",
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("prompt_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(*STATES, name="promptstate", native_enum=False, create_constraint=True),
            nullable=False,
        ),
        sa.Column(
            "arm",
            sa.Enum("selected", "random", name="arm", native_enum=False, create_constraint=True),
            nullable=True,
        ),
        sa.Column("score", JSONB(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generation.id"],
            name=op.f("fk_generation_prompt_generation_id_generation"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id"],
            ["prompt.id"],
            name=op.f("fk_generation_prompt_prompt_id_prompt"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["task.id"],
            name=op.f("fk_generation_prompt_task_id_task"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("generation_id", "prompt_id", name=op.f("pk_generation_prompt")),
    )
    op.create_index("ix_generation_prompt_prompt_id", "generation_prompt", ["prompt_id"])
    op.create_index("ix_generation_prompt_task_id", "generation_prompt", ["task_id"])


def _writing() -> None:
    op.create_table(
        "writing",
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("prompt_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("turn", sa.SmallInteger(), nullable=False),
        sa.Column("texts", JSONB(), nullable=False),
        sa.Column("empty", sa.SmallInteger(), nullable=False),
        sa.Column("refused", sa.SmallInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "written_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generation.id"],
            name=op.f("fk_writing_generation_id_generation"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id"],
            ["prompt.id"],
            name=op.f("fk_writing_prompt_id_prompt"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "generation_id", "prompt_id", "place", "turn", name=op.f("pk_writing")
        ),
    )
    op.create_index("ix_writing_prompt_id", "writing", ["prompt_id"])
