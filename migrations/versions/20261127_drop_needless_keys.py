"""The project of a task, an assignment and a judgement is held by what they belong to."""

from collections.abc import Sequence

from alembic import op

revision: str = "0024_needless_keys"
down_revision: str | None = "0023_contestants"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NEEDLESS = ("task", "assignment", "annotation")


def upgrade() -> None:
    for table in NEEDLESS:
        op.drop_constraint(op.f(f"fk_{table}_project_id_project"), table, type_="foreignkey")


def downgrade() -> None:
    for table in NEEDLESS:
        op.create_foreign_key(
            op.f(f"fk_{table}_project_id_project"),
            table,
            "project",
            ["project_id"],
            ["id"],
            ondelete="CASCADE",
        )
