"""Imports can be checked first and undone; rows know which import brought them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0012_import_checks"
down_revision: str | None = "0011_import_bytes"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
JSON = postgresql.JSONB(astext_type=sa.Text())
BROUGHT = ("task", "response", "annotation")
INDEXES = {
    "ix_prompt_import": ("prompt", ["import_id", "content_hash"]),
    "ix_task_import": ("task", ["import_id", "id"]),
    "ix_annotation_import": ("annotation", ["import_id"]),
}


def upgrade() -> None:
    op.add_column(
        "import", sa.Column("dry_run", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("import", sa.Column("report", JSON, server_default="{}", nullable=False))
    op.add_column("import", sa.Column("undone", JSON, server_default="{}", nullable=False))
    op.add_column("import", sa.Column("undo_requested_at", TIME))
    op.add_column("import", sa.Column("undone_at", TIME))
    for table in BROUGHT:
        op.add_column(table, sa.Column("import_id", sa.Uuid()))
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns, postgresql_where=sa.text("import_id IS NOT NULL"))
    op.create_index("ix_assignment_task", "assignment", ["task_id", "user_id"])
    op.create_check_constraint(
        op.f("ck_import_undone_on_request"),
        "import",
        "undone_at IS NULL OR undo_requested_at IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_import_undone_on_request"), "import")
    op.drop_index("ix_assignment_task", table_name="assignment")
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
    for table in BROUGHT:
        op.drop_column(table, "import_id")
    op.execute("DELETE FROM import WHERE dry_run")
    for column in ("undone_at", "undo_requested_at", "undone", "report", "dry_run"):
        op.drop_column("import", column)
