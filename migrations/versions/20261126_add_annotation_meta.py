"""Judgements keep what else the file said of them that they were imported from."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0010_annotation_meta"
down_revision: str | None = "0009_guideline_versions"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    meta = sa.Column("meta", postgresql.JSONB(astext_type=sa.Text()))
    op.add_column("annotation", meta)


def downgrade() -> None:
    op.drop_column("annotation", "meta")
