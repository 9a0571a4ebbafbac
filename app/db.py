"""The database: base class, column types, sessions and the clock."""

import os
import select as polling
import struct
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from typing import cast as cast_to
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import Depends
from psycopg import Column, Cursor
from psycopg.errors import IdleInTransactionSessionTimeout
from pydantic_core import to_json
from sqlalchemy import (
    ColumnElement,
    CursorResult,
    DateTime,
    Engine,
    Enum,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    any_,
    cast,
    column,
    create_engine,
    event,
    func,
    literal,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, Insert, insert
from sqlalchemy.exc import DisconnectionError, InternalError, OperationalError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session, sessionmaker
from sqlalchemy.types import TypeEngine
from starlette.concurrency import run_in_threadpool

from app.config import settings

JsonObject = dict[str, Any]
T = TypeVar("T")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: Mapping[Any, Any] = {
        str: Text(),
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        JsonObject: JSONB(),
        list[Any]: JSONB(),
        list[JsonObject]: JSONB(),
    }


def text_enum(kind: type[StrEnum]) -> Enum:
    """A StrEnum kept as text with a CHECK, so that a new value is an ordinary migration."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=None,
        values_callable=lambda members: [member.value for member in members],
        name=kind.__name__.lower(),
    )


_MAY_VOUCH = text("has_parameter_privilege('session_replication_role', 'SET')")
VOUCH, VOUCH_NO_MORE = (
    select(func.set_config("session_replication_role", role, True)).where(_MAY_VOUCH)
    for role in ("replica", "origin")
)


def bulk_insert(model: type[Base], rows: Sequence[Mapping[str, Any]]) -> Insert:
    """One INSERT of many rows, which travel as one JSON text: many times as fast as row by row.

    A column that says the same in all rows travels once, beside it. All rows name the same columns,
    the primary key first or among them; the others get their defaults. The caller adds
    `on_conflict_do_nothing()` or `returning()` as she needs it.
    """
    types = {name: model.__table__.c[name].type for name in rows[0]}
    key = next(iter(types))  # in the rows even where there is one only
    values_of = {name: [row[name] for row in rows] for name in types}
    varying = [name for name in types if name == key or _varies(values_of[name])]
    columns = [column(name, types[name]) for name in varying]
    written = [_written(types[name], values_of[name]) for name in varying]
    slim = [dict(zip(varying, values, strict=True)) for values in zip(*written, strict=True)]
    source = (
        func.json_to_recordset(cast(literal(to_json(slim).decode(), Text()), JSON))
        .table_valued(*columns, name="row")
        .render_derived(with_types=True)
    )
    same = {name: rows[0][name] for name in types if name not in varying}
    values = [
        cast(null(), types[name]) if value is None else literal(value, types[name])
        for name, value in same.items()
    ]
    table = cast_to(Table, model.__table__)  # as the ORM's own, half the time would go into words
    return insert(table).from_select([*varying, *same], select(*source.c, *values))


def written(session: Session, statement: Insert) -> int:
    """Execute it; answers how many rows it has written."""
    keep = {"preserve_rowcount": True}  # of an INSERT it is thrown away without this
    return cast_to(CursorResult[Any], session.execute(statement, execution_options=keep)).rowcount


@contextmanager
def vouched_keys(session: Session) -> Iterator[None]:
    """Rows inserted in here are taken at their word that the rows they name exist.

    For bulk only, where the caller has just inserted those or holds them (`are_held`): to ask for
    each again takes as long as all else. A server whose role may not leave the question out
    asks it. No trigger runs in here, so no row may be deleted and no key changed.
    """
    session.execute(VOUCH)
    yield
    session.execute(VOUCH_NO_MORE)


def _varies(values: Sequence[Any]) -> bool:
    first = values[0]
    if first and isinstance(first, dict | list):
        return True  # {"a": 1} equals {"a": True} here, and is something else in JSON
    return values[-1] != first or values.count(first) < len(values)


def _written(kind: TypeEngine[Any], values: list[Any]) -> list[Any]:
    """The column as JSON has it; `to_json` writes ids and times as PostgreSQL reads them."""
    if isinstance(kind, LargeBinary):
        return [value if value is None else f"\\x{value.hex()}" for value in values]
    if isinstance(kind, DateTime):  # PostgreSQL reads no zone 16 hours away, nor parts of a second
        return [value if value is None else value.astimezone(UTC) for value in values]
    return values


def new_ids(count: int) -> list[UUID]:
    """Ids for so many rows (UUID version 7), each above the one before.

    They begin with the time, so that an index grows at its end, not all over: of millions of rows
    only the last pages are in use. Rows whose order must not tell get theirs in another order.
    """
    chance = struct.unpack(f">{count}Q", os.urandom(8 * count))
    begun = time.time_ns() // 1_000_000
    fixed = 7 << 76 | 2 << 62  # version and variant
    return [  # 12 bits count within a millisecond
        UUID(int=begun + (number >> 12) << 80 | (number & 4095) << 64 | fixed | tail >> 2)
        for number, tail in enumerate(chance)
    ]


def among(attribute: InstrumentedAttribute[T], values: Collection[T]) -> ColumnElement[bool]:
    """`attribute` is one of `values`, which are one parameter however many they are."""
    return attribute == any_(literal(list(values), ARRAY(attribute.type, dimensions=1)))


def are_held(session: Session, key: InstrumentedAttribute[T], values: Collection[T]) -> bool:
    """Whether all these rows exist, and will until the transaction ends."""
    wanted = set(values)
    held = session.execute(
        select(key).where(among(key, wanted)).with_for_update(read=True, key_share=True)
    )
    return len(held.all()) == len(wanted)


class JobState(StrEnum):
    """The states of everything that runs in the background (contract §3)."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


# What was committed is not looked at again, or anew: see `commit_halfway`.
SessionLocal: sessionmaker[Session] = sessionmaker(expire_on_commit=False)


class Columns(Sequence[Column]):
    """The columns of a result, made when somebody looks at them."""

    def __init__(self, cursor: "LeanCursor") -> None:
        self.cursor = cursor

    def __len__(self) -> int:
        return len(self.cursor.columns())

    def __iter__(self) -> Iterator[Column]:
        return iter(self.cursor.columns())

    def __getitem__(self, at: Any) -> Any:
        return self.cursor.columns()[at]


class LeanCursor(Cursor[Any]):
    """SQLAlchemy asks what columns came, and then goes by what it knows of the statement.

    To describe them each time took a twentieth of a web process's time.
    """

    def columns(self) -> list[Column]:
        return super().description or []

    @property
    def description(self) -> Any:
        result = self.pgresult
        return Columns(self) if result and result.nfields else super().description


def connect(url: str, *, pool_size: int | None = None) -> Engine:
    """Bind all sessions of this process to `url` (`postgresql+psycopg://…`)."""
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size or settings.pool_size,
        max_overflow=4,  # for what has a session of its own: claims and submissions, in turn
        pool_use_lifo=True,  # the one used last has its plans at hand; the others rest
        hide_parameters=True,  # in errors, which go to the log: they may be names and addresses
        connect_args={
            "options": "-c timezone=UTC",
            "application_name": "touchstone",
            "cursor_factory": LeanCursor,
        },
    )
    event.listen(engine, "checkout", refuse_dead)
    SessionLocal.configure(bind=engine)
    return engine


def refuse_dead(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have the pool replace a connection that its server has ended.

    On an idle connection nothing is said until then, and looking costs no round trip.
    """
    poll = polling.poll()
    if not connection.closed:
        poll.register(connection.fileno(), polling.POLLIN)
    if connection.closed or poll.poll(0):
        raise DisconnectionError("The database server has ended this connection.")


async def get_session() -> AsyncIterator[Session]:
    """Opening one asks nothing of the database and needs no thread; ending it does.

    That thread is beyond the limit of threads: all others may be waiting for this session's rows.
    """
    session, is_good = SessionLocal(), False
    try:
        yield session
        is_good = True
    finally:
        await to_thread.run_sync(_end, session, is_good, limiter=CapacityLimiter(1))


def _end(session: Session, is_good: bool) -> None:  # noqa: FBT001
    with session:
        if is_good:
            session.commit()


# Function scope: COMMIT happens before the reply leaves; FastAPI's default replies first. No more
# at once than there are connections: who waits for one in a thread keeps that thread from those
# who have theirs and want to go on, so that all of them would wait.
SessionDep = Annotated[
    Session, Depends(get_session, scope="function", max_concurrency=settings.pool_size)
]


@contextmanager
def transaction() -> Iterator[Session]:
    """A session of its own for code outside a request; commits at the end, rolls back on error."""
    with SessionLocal() as session:
        yield session
        session.commit()


BRIEF = 10  # seconds that a brief transaction may rest between two statements


@contextmanager
def brief_transaction() -> Iterator[Session]:
    """One that writes a few rows others wait for: where its process is halted, they get them.

    The server then ends it; who goes on all the same gets an `OperationalError`, as with any
    connection that was lost.
    """
    try:
        with transaction() as session:
            session.execute(
                text(f"SET LOCAL idle_in_transaction_session_timeout = '{BRIEF * 1000:.0f}ms'")
            )
            yield session
    except InternalError as error:  # as psycopg sees it: a fault of the transaction
        if not isinstance(error.orig, IdleInTransactionSessionTimeout):
            raise
        raise OperationalError(error.statement, error.params, error.orig) from error


def commit_halfway(session: Session) -> None:
    """Commit what stands so far and go on in a new transaction.

    For the rare unit of work whose second half waits for other people's transactions: it must
    not hold the rows of its first half meanwhile, or two of them wait for each other.
    """
    session.commit()
    session.expire_all()  # meanwhile others may change what is known here


NOW = select(func.now())
TOLD_NOW = "now"  # in `Session.info`: what a statement has told of the clock on its way


def database_now(session: Session) -> datetime:
    """The database's clock at the start of the transaction."""
    return session.scalars(NOW).one()


async def get_set_time() -> datetime | None:
    """The time that tests set, with `app.dependency_overrides[get_set_time]`; else None."""
    return None


SetTime = Annotated[datetime | None, Depends(get_set_time)]


def now_of(session: Session, set_time: datetime | None) -> datetime:
    """The time of a request, asked of the database unless a statement has told it already."""
    if set_time is not None:
        return set_time
    if TOLD_NOW not in session.info:
        session.info[TOLD_NOW] = database_now(session)
    told: datetime = session.info[TOLD_NOW]
    return told


async def get_now(session: SessionDep, set_time: SetTime) -> datetime:
    if set_time is None and TOLD_NOW not in session.info:
        return await run_in_threadpool(now_of, session, set_time)
    return now_of(session, set_time)


# Time that decides something: the database's clock.
Now = Annotated[datetime, Depends(get_now)]
