"""`touchstone doctor`: what is missing or does not fit, and how to mend it."""

import importlib.util
import os
import re
import shutil
import stat
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pydantic import AliasChoices
from sqlalchemy import Connection, create_engine, make_url, select, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from app import artifacts, models  # noqa: F401 # relationships need every domain's tables
from app.artifacts import StoredFile
from app.config import Settings, settings
from app.datasets.models import Snapshot
from app.db import JobState
from app.errors import AppError, Conflict
from app.postgres import PostgresProblem, configured, normal_url
from app.runs.models import Checkpoint
from app.schema import is_at_head
from app.supervisor import PORT, listening, running_url
from app.work.queries.checks import invariants

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
MINIMAL_DISK, GOOD_DISK = 2, 10  # GB
OLDEST_POSTGRES = 15
SHOWN = 5  # rows that break an invariant; the page of the work names more
STORED = {
    "checkpoint": select(Checkpoint.name, Checkpoint.path, Checkpoint.files)
    .where(Checkpoint.removed_at.is_(None))
    .order_by(Checkpoint.created_at),
    "snapshot": select(Snapshot.name, Snapshot.path, Snapshot.files)
    .where(Snapshot.state == JobState.SUCCEEDED, Snapshot.files_removed_at.is_(None))
    .order_by(Snapshot.created_at),
}
NAME = re.compile(r"[A-Za-z0-9._-]+")


class Mark(StrEnum):
    GOOD = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` says what to do about it."""

    mark: Mark
    what: str
    mend: str = ""


def examine() -> bool:
    """Print one line per finding; False when something keeps Touchstone from working."""
    findings = [finding for check in CHECKS for finding in check()]
    for finding in findings:
        line = f"{finding.mark:<5}{finding.what}"
        print(f"{line}\n     → {finding.mend}" if finding.mend else line)  # noqa: T201
    bad = sum(finding.mark is Mark.BAD for finding in findings)
    print(f"{bad} to mend." if bad else "Everything that is needed is in place.")  # noqa: T201
    return not bad


def check_python() -> Iterator[Finding]:
    yield Finding(Mark.GOOD, f"Python {'.'.join(map(str, sys.version_info[:3]))}")


def check_packages() -> Iterator[Finding]:
    """What pyproject.toml asks for is here, in the versions of constraints.txt."""
    pinned = dict(pins(CONSTRAINTS))
    missing, other = [], []
    needed = list(requirements(extra=None))
    for name in needed:
        found = installed(name)
        if found is None:
            missing.append(name)
    for name, pin in pinned.items():
        found = installed(name)
        if found is not None and found.partition("+")[0] != pin:
            other.append(f"{name} {found} (tested: {pin})")
    if missing:
        yield Finding(Mark.BAD, f"Packages are missing: {', '.join(missing)}", "make install")
    else:
        yield Finding(Mark.GOOD, f"The {len(needed)} packages of the platform")
    if other:
        yield Finding(
            Mark.NOTE,
            f"Packages in other versions than tested: {', '.join(other)}",
            "pip install -c constraints.txt -e '.[train]'",
        )


def check_training() -> Iterator[Finding]:
    missing = [name for name in requirements(extra="train") if installed(name) is None]
    if missing:
        yield Finding(
            Mark.NOTE,
            f"Training and generation need {', '.join(missing)}",
            "make install (TORCH=cpu or TORCH=cuda), or pip install '.[train]'",
        )
        return
    torch = installed("torch") or ""
    has_driver = Path("/proc/driver/nvidia/version").exists()
    if has_driver and "+cpu" in torch:
        yield Finding(
            Mark.NOTE,
            f"There is an NVIDIA driver, but torch {torch} has no CUDA",
            ".venv/bin/pip uninstall -y torch; make install TORCH=cuda",
        )
        return
    device = "an NVIDIA GPU" if has_driver else "the CPU (no NVIDIA driver here)"
    yield Finding(Mark.GOOD, f"torch {torch}, training on {device}")


def check_home() -> Iterator[Finding]:
    home = settings.home_path
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield Finding(
            Mark.BAD,
            f"This account may not write to {nearest}",
            "Run Touchstone as the owner, or set TOUCHSTONE_HOME to a folder of your own.",
        )
        return
    yield Finding(Mark.GOOD, f"Home {home}" + ("" if home.exists() else " (not made yet)"))
    for folder, limit in ((home, stat.S_IWOTH), (settings.secrets_path, 0o077)):
        if folder.exists() and folder.stat().st_mode & limit:
            whose = "write to" if limit == stat.S_IWOTH else "look into"
            yield Finding(
                Mark.BAD,
                f"Others may {whose} {folder}",
                f"chmod {'o-w' if limit == stat.S_IWOTH else '700'} '{folder}'",
            )
    free = shutil.disk_usage(nearest).free / 1e9
    enough = Mark.GOOD if free >= GOOD_DISK else Mark.NOTE if free >= MINIMAL_DISK else Mark.BAD
    mend = "" if enough is Mark.GOOD else "Make room: snapshots and checkpoints need some."
    yield Finding(enough, f"{free:.0f} GB free on the disk of the home", mend)


def check_database() -> Iterator[Finding]:
    try:
        with configured(settings) as url:
            yield from check_server(url)
    except (PostgresProblem, SQLAlchemyError, ArgumentError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        source = "Check DATABASE_URL." if settings.database_url else ""
        yield Finding(Mark.BAD, f"The database does not answer: {reason}", source)


def check_server(url: str) -> Iterator[Finding]:
    engine = create_engine(url, connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            found = connection.execute(text("SHOW server_version")).scalar_one()
            where = make_url(url).render_as_string(hide_password=True)
            major = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10000
            if major < OLDEST_POSTGRES:
                yield Finding(
                    Mark.BAD, f"PostgreSQL {found} is too old", f"Use {OLDEST_POSTGRES} or newer."
                )
            else:
                yield Finding(Mark.GOOD, f"PostgreSQL {found} at {where}")
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                value = connection.execute(text(f"SHOW {name}")).scalar_one()
                if value == "off":
                    yield Finding(
                        Mark.BAD,
                        f"{name} is off: a power cut loses judgements that were acknowledged",
                        f"Set {name} = on in postgresql.conf and reload the server.",
                    )
            if is_at_head(connection):
                yield Finding(Mark.GOOD, "The schema is this version's")
                yield from check_invariants(connection)
                yield from check_stored(connection)
            else:
                own = "" if settings.database_url else " (`touchstone up` does it by itself)"
                mark = Mark.BAD if settings.database_url else Mark.NOTE
                yield Finding(mark, "The schema is not this version's", f"touchstone migrate{own}")
    finally:
        engine.dispose()


def check_invariants(connection: Connection) -> Iterator[Finding]:
    """Tasks, assignments and judgements of all projects add up; what does not is named."""
    with Session(bind=connection) as session:
        results = invariants(session)
    broken = [result for result in results if not result.holds]
    for result in broken:
        rest = " (and more)" if result.is_cut else ""
        yield Finding(
            Mark.BAD,
            f"This does not hold: {result.rule} {'; '.join(result.broken[:SHOWN])}{rest}",
            "touchstone backup FILE first, then report this: it must never be.",
        )
    if not broken:
        yield Finding(Mark.GOOD, f"The {len(results)} invariants of tasks and judgements hold")


def check_stored(connection: Connection) -> Iterator[Finding]:
    """What the database knows to be stored is there, as long as it was; reading it would be slow.

    Where the store itself does not answer, `check_artifacts` says so.
    """
    if artifacts.is_elsewhere() and artifacts.trouble() is not None:
        return
    kept = [(kind, connection.execute(query).all()) for kind, query in STORED.items()]
    broken = 0
    for kind, rows in kept:
        for name, path, files in rows:
            try:
                artifacts.check_whole(
                    path,
                    [StoredFile(each["path"], each["bytes"], each["sha256"]) for each in files],
                )
            except (AppError, OSError) as error:
                broken += 1
                why = error.detail if isinstance(error, AppError) else f"{error}."
                if broken <= SHOWN:
                    yield Finding(Mark.BAD, f"The files of the {kind} “{name}”: {why}")
    if broken > SHOWN:
        yield Finding(Mark.BAD, f"The same holds for {broken - SHOWN} more")
    if not broken:
        counted = " and ".join(
            f"{len(rows)} {kind}{'' if len(rows) == 1 else 's'}" for kind, rows in kept
        )
        yield Finding(Mark.GOOD, f"The files of {counted}")


def check_artifacts() -> Iterator[Finding]:
    """The folder of a local store is looked at with the home."""
    if artifacts.is_elsewhere():
        trouble = artifacts.trouble()
        if trouble is None:
            yield Finding(Mark.GOOD, f"Artifact store {settings.artifacts_url}")
        else:
            yield Finding(Mark.BAD, *trouble)


def check_port() -> Iterator[Finding]:
    url = running_url(settings.home_path)
    if url:
        yield Finding(Mark.GOOD, f"Touchstone runs at {url}")
        return
    try:
        listening("127.0.0.1", PORT).close()
    except Conflict:
        yield Finding(
            Mark.NOTE, f"Port {PORT} is in use", "`touchstone up` takes the next free one."
        )
    else:
        yield Finding(Mark.GOOD, f"Port {PORT} is free")


def check_browser() -> Iterator[Finding]:
    names = (os.environ.get("CHROMIUM", "chromium"), "chromium", "chromium-browser")
    found = [path for name in (*names, "google-chrome") if (path := shutil.which(name))]
    if found:
        yield Finding(Mark.GOOD, f"Chromium for the browser tests: {found[0]}")
    elif importlib.util.find_spec("playwright") is not None:
        yield Finding(
            Mark.NOTE, "No Chromium on the path for the browser tests", "apt-get install chromium"
        )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_packages,
    check_training,
    check_home,
    check_database,
    check_artifacts,
    check_port,
    check_browser,
)


def pins(file: Path) -> Iterator[tuple[str, str]]:
    """Names and versions of a constraints file; nothing where there is none (a wheel)."""
    if not file.exists():
        return
    for line in file.read_text().splitlines():
        name, separator, pin = line.partition("#")[0].strip().partition("==")
        if separator:
            yield name, pin


def requirements(extra: str | None) -> Iterator[str]:
    """Names of the packages that Touchstone asks for, without or in an extra."""
    try:
        lines = requires("touchstone") or []
    except PackageNotFoundError:
        lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for line in lines:
        found = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        name = NAME.match(line)
        if name and (found.group(1) if found else None) == extra:
            yield name.group()


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def print_settings() -> None:
    """Every setting with its value and where that comes from."""
    for name, value, source, description in described(Settings()):
        print(f"{name} = {value}    ({source})\n    {description}")  # noqa: T201


def described(current: Settings) -> Iterator[tuple[str, str, str, str]]:
    """Variable, value (secrets masked), source and meaning of each setting."""
    table = Path(str(Settings.model_config.get("toml_file")))
    in_file = tomllib.loads(table.read_text()) if table.exists() else {}
    environment = {name.upper() for name, value in os.environ.items() if value}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variables = (
            [str(choice) for choice in alias.choices if str(choice).isupper()]
            if isinstance(alias, AliasChoices)
            else [f"TOUCHSTONE_{name.upper()}"]
        )
        source = "default"
        if name in in_file:
            source = str(table)
        given = [variable for variable in variables if variable in environment]
        if given:
            source = f"environment: {given[0]}"
        yield variables[0], masked(name, getattr(current, name)), source, field.description or ""


def masked(name: str, value: object) -> str:
    """A value to be shown: passwords and keys are not."""
    if value is None:
        return "not set"
    if name == "database_url":
        try:
            return make_url(normal_url(str(value))).render_as_string(hide_password=True)
        except (ArgumentError, PostgresProblem):
            return "***"
    if re.search("secret|password|token|key", name):
        return "***"
    return str(value)
