"""How much memory processes may use here, and whether the system had to end some for it."""

import contextlib
from pathlib import Path

import psutil


def oom_kills() -> int:
    """How many processes the kernel has ended for memory: in our control group, else anywhere."""
    files = [
        folder / name for folder in _groups() for name in ("memory.events", "memory.oom_control")
    ]
    known = [file for file in files if file.is_file()] or [Path("/proc/vmstat")]
    return sum(_counter(file, "oom_kill") for file in known)


def memory_limit() -> int:
    """Bytes that processes here may use."""
    limits = [int(psutil.virtual_memory().total)]
    for folder in _groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                limits.append(int((folder / name).read_text()))
    return min(limit for limit in limits if limit > 0)


def _groups() -> list[Path]:
    """Folders of this process's control groups that may know about memory."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / "memory"
        if not controllers or "memory" in controllers.split(","):
            found += [base / path.lstrip("/"), base]
    return list(dict.fromkeys(found))


def _counter(file: Path, name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0
