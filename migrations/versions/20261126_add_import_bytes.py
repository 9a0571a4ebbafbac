"""Say how many bytes of its file an import has read."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011_import_bytes"
down_revision: str | None = "0010_annotation_meta"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "import", sa.Column("bytes_read", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.execute("UPDATE import SET bytes_read = bytes WHERE state = 'succeeded'")


def downgrade() -> None:
    op.drop_column("import", "bytes_read")
