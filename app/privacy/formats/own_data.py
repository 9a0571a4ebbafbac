"""Everything that is stored about a person, for her to have."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Table, Text, cast, or_, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.accounts.models import AuditEvent, User
from app.db import Base, JsonObject
from app.projects.models import Project

HERS = ("user_id", "sent_by")  # columns that say that a row is about her, or in her words
SECRET = {"password_hash", "token_hash", "body_hash", "hash", "previous_hash", "idempotency_key"}
# What would tell which tasks are gold or repeats, or how her work is checked without her notice.
HIDDEN = {
    "gold_passed", "gold_seen", "gold_share", "standing", "is_repeat", "counted", "requeue_id",
    "re_asks", "slot", "ordinal", "claimed", "weight", "excluded_at", "exclude_reason",
}  # fmt: skip
HIDDEN_TABLES = {"requeue", "re_ask_pair"}
LEFT_OUT = (
    "Left out: passwords and keys (only their hashes are kept), and what would tell which tasks are"
    " control questions or come again."
)


def own_data(
    session: Session, *, user: User, project: Project | None = None, now: datetime
) -> Iterator[str]:
    """JSON lines: first what this is, then every row by its table, in a fixed order."""
    where = {"project": project.name} if project else {}
    yield _line({"about": user.name, **where, "made_at": now, "left_out": LEFT_OUT})
    yield _line({"table": "user", **_visible(session, Base.metadata.tables["user"], user)})
    for table in sorted(Base.metadata.tables.values(), key=lambda each: each.name):
        for row in _rows(session, table, user=user, project=project):
            yield _line({"table": table.name, **row})


def _visible(session: Session, table: Table, user: User) -> JsonObject:
    row = session.execute(select(*_told(table)).where(table.c.id == user.id)).mappings().one()
    return dict(row)


def _told(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column.name not in SECRET | HIDDEN]


def columns_of(table: Table) -> list[Column[Any]]:
    """Those that lead to a person whose row this is."""
    return [
        column
        for column in table.c
        if column.name in HERS
        and any(key.target_fullname == "user.id" for key in column.foreign_keys)
    ]


def _rows(
    session: Session, table: Table, *, user: User, project: Project | None
) -> Iterator[JsonObject]:
    hers = columns_of(table)
    if not hers or table.name in HIDDEN_TABLES:
        return
    means = [column == user.id for column in hers]
    if table.name == AuditEvent.__tablename__:
        means.append(table.c.details["user_id"].astext == str(user.id))
    rows = select(*_told(table)).where(or_(*means))
    if project is not None:
        if "project_id" not in table.c:
            return
        rows = rows.where(table.c.project_id == project.id)
    ordered = rows.order_by(*(cast(column, Text) for column in table.primary_key))
    for row in session.execute(ordered.execution_options(yield_per=1_000)).mappings():
        yield dict(row)


def _line(content: JsonObject) -> str:
    return json.dumps(content, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else f"{value}"


def data_reply(lines: str) -> Response:
    return Response(
        lines,
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="own-data.jsonl"'},
    )
