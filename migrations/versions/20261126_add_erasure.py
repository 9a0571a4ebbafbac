"""People can be erased, or their judgements; who is in which snapshot; corrected snapshots."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0015_erasure"
down_revision: str | None = "0014_snapshot_comparisons"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(astext_type=sa.Text())
KINDS = ("person", "imported", "simulated")


def kinds(*names: str) -> None:
    op.drop_constraint(op.f("ck_user_userkind"), "user")
    listed = ", ".join(f"'{name}'" for name in names)
    op.create_check_constraint(op.f("ck_user_userkind"), "user", f"kind IN ({listed})")


def to(table: str, column: str, target: str, ondelete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{target}.id"],
        name=op.f(f"fk_{table}_{column}_{target}"),
        ondelete=ondelete,
    )


def upgrade() -> None:
    kinds(*KINDS, "erased")
    op.add_column("audit_event", sa.Column("redacted_at", TIME))
    op.add_column("membership", sa.Column("erased_name", sa.LargeBinary()))
    op.create_index(
        "ix_membership_erased_name",
        "membership",
        ["project_id", "erased_name"],
        postgresql_where=sa.text("erased_name IS NOT NULL"),
    )
    op.create_table(
        "removal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("only_texts", sa.Boolean(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False),
        sa.Column("by", sa.Uuid()),
        sa.Column("at", TIME, server_default=sa.text("now()"), nullable=False),
        to("removal", "project_id", "project", "CASCADE"),
        to("removal", "user_id", "user", "CASCADE"),
        to("removal", "by", "user", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removal")),
    )
    op.create_index("ix_removal_person", "removal", ["project_id", "user_id"])
    op.add_column("snapshot", sa.Column("replaces_id", sa.Uuid()))
    op.add_column("snapshot", sa.Column("erased_at", TIME))
    op.add_column("snapshot", sa.Column("files_removed_at", TIME))
    op.create_foreign_key(
        op.f("fk_snapshot_replaces_id_snapshot"),
        "snapshot",
        "snapshot",
        ["replaces_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(
        "ix_snapshot_replaces_id",
        "snapshot",
        ["replaces_id"],
        postgresql_where=sa.text("replaces_id IS NOT NULL"),
    )
    # Of snapshots that are there already it is read from their manifests when somebody asks.
    op.create_table(
        "snapshot_annotator",
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False),
        to("snapshot_annotator", "snapshot_id", "snapshot", "CASCADE"),
        sa.PrimaryKeyConstraint("snapshot_id", "annotator", name=op.f("pk_snapshot_annotator")),
    )
    op.create_index("ix_snapshot_annotator_annotator", "snapshot_annotator", ["annotator"])
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("identity", sa.Boolean(), nullable=False),
        sa.Column("judgements", sa.Boolean(), nullable=False),
        sa.Column("texts", sa.Boolean(), nullable=False),
        sa.Column("counts", JSON, nullable=False),
        sa.Column("by", sa.Uuid()),
        sa.Column("at", TIME, server_default=sa.text("now()"), nullable=False),
        to("erasure", "user_id", "user", "CASCADE"),
        to("erasure", "project_id", "project", "CASCADE"),
        to("erasure", "by", "user", "SET NULL"),
        sa.CheckConstraint("identity OR judgements OR texts", name=op.f("ck_erasure_of_something")),
        sa.CheckConstraint(
            "project_id IS NULL OR NOT identity", name=op.f("ck_erasure_identity_is_everywhere")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_index(op.f("ix_erasure_user_id"), "erasure", ["user_id"])


def downgrade() -> None:
    op.drop_table("erasure")
    op.drop_table("snapshot_annotator")
    op.drop_index("ix_snapshot_replaces_id", "snapshot")
    op.drop_column("snapshot", "files_removed_at")
    op.drop_column("snapshot", "erased_at")
    op.drop_column("snapshot", "replaces_id")
    op.drop_table("removal")
    op.drop_index("ix_membership_erased_name", "membership")
    op.drop_column("membership", "erased_name")
    op.drop_column("audit_event", "redacted_at")
    # What is nearest to it: somebody without an address who only carries judgements.
    op.execute("UPDATE \"user\" SET kind = 'imported' WHERE kind = 'erased'")
    kinds(*KINDS)
