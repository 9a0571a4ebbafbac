"""Care for people and gold: messages, re-queued judgements, exclusion, appeals, upheld keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008_care"
down_revision: str | None = "0007_cost"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = (
    ("membership", "excluded_at", sa.DateTime(timezone=True)),
    ("membership", "exclude_reason", sa.Text()),
    ("gold_key", "suspend_reason", sa.Text()),
    ("gold_key", "upheld_at", sa.DateTime(timezone=True)),
)
OUTCOMES = ("stands", "withdrawn", "corrected", "lifted")


def moment(name: str, *, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)


def reference(table: str, column: str, target: str, *, gone: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target}")
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=gone)


def person_of_project(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        reference(table, "project_id", "project", gone="CASCADE"),
        reference(table, "user_id", "user", gone="CASCADE"),
    ]


def upgrade() -> None:
    for table, name, kind in COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=True))
    add_messages()
    add_requeues()
    add_appeals()


def add_messages() -> None:
    op.create_table(
        "member_message",
        *person_of_project("member_message"),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sent_by", sa.Uuid(), nullable=True),
        moment("sent_at", now=True),
        moment("read_at"),
        moment("withdrawn_at"),
        sa.CheckConstraint(
            "read_at IS NULL OR withdrawn_at IS NULL",
            name=op.f("ck_member_message_withdrawn_unread"),
        ),
        reference("member_message", "sent_by", "user", gone="SET NULL"),
    )
    op.create_index(
        "ix_member_message_unread",
        "member_message",
        ["project_id", "user_id"],
        postgresql_where=sa.text("read_at IS NULL AND withdrawn_at IS NULL"),
    )


def add_requeues() -> None:
    op.create_table(
        "requeue",
        *person_of_project("requeue"),
        sa.Column("which", sa.Text(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False),
        sa.Column("closed", postgresql.JSONB(), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        moment("at", now=True),
        moment("undone_at"),
        sa.Column("restored", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(undone_at IS NULL) = (restored IS NULL)",
            name=op.f("ck_requeue_undone_with_a_number"),
        ),
        reference("requeue", "by", "user", gone="SET NULL"),
    )
    op.create_index("ix_requeue_person", "requeue", ["project_id", "user_id"])
    op.add_column("annotation", sa.Column("requeue_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_annotation_requeue_id_requeue"),
        "annotation",
        "requeue",
        ["requeue_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(
        "ix_annotation_requeue",
        "annotation",
        ["requeue_id"],
        postgresql_where=sa.text("requeue_id IS NOT NULL"),
    )


def add_appeals() -> None:
    op.create_table(
        "appeal",
        *person_of_project("appeal"),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        moment("created_at", now=True),
        sa.Column(
            "outcome",
            sa.Enum(
                *OUTCOMES, name="outcome", native_enum=False, create_constraint=True, length=None
            ),
            nullable=True,
        ),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("settled_by", sa.Uuid(), nullable=True),
        moment("settled_at"),
        sa.CheckConstraint(
            "(settled_at IS NULL) = (outcome IS NULL)",
            name=op.f("ck_appeal_settled_with_an_outcome"),
        ),
        reference("appeal", "task_id", "task", gone="CASCADE"),
        reference("appeal", "settled_by", "user", gone="SET NULL"),
    )
    for name, columns, condition in (
        ("uq_appeal_open_question", ["task_id", "user_id"], "task_id IS NOT NULL"),
        ("uq_appeal_open_pause", ["project_id", "user_id"], "task_id IS NULL"),
    ):
        op.create_index(
            name,
            "appeal",
            columns,
            unique=True,
            postgresql_where=sa.text(f"settled_at IS NULL AND {condition}"),
        )
    op.create_index("ix_appeal_project", "appeal", ["project_id", "created_at"])


def downgrade() -> None:
    op.drop_table("appeal")
    op.drop_column("annotation", "requeue_id")  # with what hangs on it
    op.drop_table("requeue")
    op.drop_table("member_message")
    for table, name, _ in reversed(COLUMNS):
        op.drop_column(table, name)
