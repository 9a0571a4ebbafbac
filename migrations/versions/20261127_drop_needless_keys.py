"""What a judgement's assignment or a task's prompt holds already is not held twice."""

from collections.abc import Sequence

from alembic import op

revision: str = "0024_needless_keys"
down_revision: str | None = "0023_contestants"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NEEDLESS = (
    ("task", "project"),
    ("assignment", "project"),
    ("annotation", "project"),
    ("annotation", "user"),
)


def upgrade() -> None:
    for table, other in NEEDLESS:
        op.drop_constraint(op.f(f"fk_{table}_{other}_id_{other}"), table, type_="foreignkey")


def downgrade() -> None:
    for table, other in NEEDLESS:
        op.create_foreign_key(
            op.f(f"fk_{table}_{other}_id_{other}"),
            table,
            other,
            [f"{other}_id"],
            ["id"],
            ondelete="CASCADE",
        )
