"""Touchstone as a person starts it: programs of their own, with an environment of their own."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = (sys.executable, "-m", "app.cli")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Ours without what was set for Touchstone, and with `home`."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("TOUCHSTONE_") and key != "DATABASE_URL"
    }
    return own | {"TOUCHSTONE_HOME": str(home), "PYTHONUNBUFFERED": "1"} | more


def touchstone(
    home: Path,
    *arguments: str,
    given: str = "",
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(home, **more),
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def up(home: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`touchstone up`, from its first answer on; afterwards nothing of it is left."""
    log = (home.parent / f"{home.name}.log").open("w+")
    process = subprocess.Popen(
        [*COMMAND, "up", "--port", str(port)],
        env=environment(home),
        cwd=ROOT,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: process.poll() is not None or status(port, "/readyz") == 200, seconds=60)
        assert process.poll() is None, log.seek(0) or log.read()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=40)
        for left in psutil.Process(process.pid).children() if process.poll() is None else ():
            left.kill()
        process.kill()
        process.wait()
        log.close()


def status(port: int, path: str) -> int:
    """The status of a page, or 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_until(is_so: Callable[[], bool], *, seconds: float) -> float:
    """Wait for `is_so`, and answer how long it took; fails after `seconds`."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, f"not so after {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - started


def running_of(home: Path) -> list[str]:
    """The command lines of whatever still runs for this home."""
    found = []
    for process in psutil.process_iter(["cmdline", "status", "environ"]):
        told = (process.info["environ"] or {}).get("TOUCHSTONE_HOME")
        line = " ".join(process.info["cmdline"] or ())
        if process.info["status"] == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
            continue
        if told == str(home) or str(home) in line:
            found.append(line)
    return found
