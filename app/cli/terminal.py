"""What all commands share: one sentence for an error, the database, progress."""

import contextlib
import errno
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

BAD_INPUT = 2
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def sentence_of(error: BaseException) -> str | None:
    """What the person at the terminal can do about `error`; None when it is our own mistake."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):  # maybe of the settings, without which nothing imports
        return "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or error.title}: {problem['msg']}"
            for problem in error.errors()
        )
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"touchstone.toml is not valid TOML: {error}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, OSError) and error.errno in NO_ROOM:  # a write names no file
        return f"A file could not be written: {error.strerror}."

    from procrastinate.exceptions import ConnectorException
    from psycopg import OperationalError as Disconnected
    from sqlalchemy.exc import OperationalError

    from app.errors import AppError
    from app.postgres import PostgresProblem
    from app.run_config import ConfigError

    if isinstance(error, AppError):
        return error.detail
    if isinstance(error, PostgresProblem | ConfigError):
        return str(error)
    if isinstance(error, OperationalError | Disconnected | ConnectorException):
        reason = " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())
        return f"The database does not answer: {reason}"
    return None


def fail(sentence: str, code: int = BAD_INPUT) -> NoReturn:
    sys.stderr.write(f"touchstone: {sentence}\n")
    sys.exit(code)


@contextmanager
def whole(file: Path) -> Iterator[None]:
    """What the block writes to `file` comes whole or not at all; an error of the disk names it."""
    try:
        yield
    except BaseException as error:
        file.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(file)) from error
        raise


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP unwind the stack like Ctrl-C, so that nothing is left running."""

    def stop(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(ValueError, AttributeError):
        signal.signal(signal.SIGHUP, stop)


@contextmanager
def connected(*, migrates: bool = False) -> Iterator[None]:
    """Sessions of `app.db` work inside the block, on the schema of this version.

    A database of our own is migrated on the way, a server of DATABASE_URL only with `migrates`.
    """
    from sqlalchemy import Engine

    from app import models  # noqa: F401 # relationships need every domain's tables
    from app.config import settings
    from app.db import connect
    from app.errors import Conflict
    from app.postgres import configured
    from app.schema import is_at_head, migrate

    def make_ready(engine: Engine) -> None:
        with engine.connect() as connection:
            if is_at_head(connection):
                return
        if settings.database_url and not migrates:
            raise Conflict(
                "The database in DATABASE_URL is not at this version's schema. Run "
                "`touchstone migrate` first."
            )
        migrate(engine)

    with configured(settings) as url:
        engine = connect(url, pool_size=2)
        try:
            make_ready(engine)
            yield
        finally:
            engine.dispose()


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """`report(done, total=…, note=…)` draws a bar on a terminal and prints lines elsewhere."""
    if sys.stderr.isatty():
        with _bar(what, total) as report:
            yield report
    else:
        yield _lines(what, total)


@contextmanager
def _bar(what: str, total: float | None) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task(what, total=total, note="")

        def report(done: float, *, total: float | None = None, note: str = "") -> None:
            more: dict[str, Any] = {"total": total} if total is not None else {}
            bar.update(shown, completed=done, note=note, **more)

        yield report


def _lines(what: str, total: float | None) -> Callable[..., None]:
    """A line at the start and then whenever another tenth (or ten times as much) is done."""
    sys.stderr.write(f"{what} …\n")
    known = total
    next_line = 1.0

    def report(done: float, *, total: float | None = None, note: str = "") -> None:
        nonlocal known, next_line
        known = total if total is not None else known
        share = 10 * done / known if known else None
        if (share if share is not None else done) < next_line:
            return
        next_line = float(int(share) + 1) if share is not None else done * 2
        of = f" of {known:,.0f}" if known else ""
        sys.stderr.write(f"{what}: {done:,.0f}{of}{' ' + note if note else ''}\n")

    return report
