"""More figures that are computed and kept together: by tag and day, consensus, leaderboard."""

from collections.abc import Sequence

from alembic import op

revision: str = "0005_quality_parts"
down_revision: str | None = "0004_qualification"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BEFORE = ("overview", "annotator_pair", "group", "week", "source", "guidelines_version")
NEW = ("tag", "day", "consensus", "leaderboard")


def allow(parts: Sequence[str]) -> None:
    op.drop_constraint(op.f("ck_quality_summary_part"), "quality_summary")
    op.create_check_constraint(
        op.f("ck_quality_summary_part"),
        "quality_summary",
        f"part IN ({', '.join(repr(part) for part in parts)})",
    )


def upgrade() -> None:
    allow(BEFORE + NEW)


def downgrade() -> None:
    op.execute(f"DELETE FROM quality_summary WHERE part IN {NEW}")  # computed anew when asked for
    allow(BEFORE)
