"""Child processes of a worker: started in a group of their own, followed by what they write."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from app.completions import KEYS
from app.config import settings
from app.worker import capabilities

LEASH = Path(__file__).with_name("leash.py")
ROOT = Path(__file__).resolve().parent.parent.parent
TRAINER = (sys.executable, "-m", "app.trainer")  # for what one process does best
LAUNCHER = (  # for one process on each GPU
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines=1"),
    *("--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"),
)
SECRETS = (
    "DATABASE_URL",
    "TOUCHSTONE_DATABASE_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


def train_command(device: str = "auto") -> Sequence[str]:
    """What starts a training: what the settings say, else one process for each GPU here."""
    own = shlex.split(settings.train_command)
    if own:
        return own
    count = len(capabilities.gpus_for(device))
    return TRAINER if count < 2 else (*LAUNCHER, f"--num_processes={count}", *TRAINER[1:])


def environment() -> dict[str, str]:
    """What a child may know: nothing of database and store, no key, and no telemetry."""
    own = {
        key: value
        for key, value in os.environ.items()
        if key not in SECRETS and not key.startswith(KEYS)
    }
    own |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [own.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
    return own


class Child:
    """A command that runs until it ends, is stopped, or this process dies.

    Standard error goes to `log`, and so does standard output unless `output` is given. With
    `silence` it also ends unless `reassure` is called every so many seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        output: Path | None = None,
        silence: float = 0.0,
    ) -> None:
        self.log = log
        self.peak = 0  # bytes of the largest process of it; known when it has ended
        self._talking = threading.Lock()
        with log.open("ab") as errors, (output or log).open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, str(LEASH), str(silence), *command],
                stdin=subprocess.PIPE,  # held: see leash.py
                stdout=said,
                stderr=errors,
                env=environment(),
                start_new_session=True,
            )
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        with self._talking:
            assert self.process.stdin is not None
            self.process.stdin.close()

    def reassure(self) -> None:
        """Say that this process lives and still holds what the child works on."""
        with self._talking, contextlib.suppress(OSError):  # it has ended, or is halted itself
            assert self.process.stdin is not None
            if not self.process.stdin.closed:
                os.write(self.process.stdin.fileno(), b".")

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.process.returncode is None and self._has_ended():
            self._end()
        return self.process.returncode

    def stop(self, *, grace: float) -> int:
        """Ask it to end (a trainer saves a checkpoint), wait, then end it; its exit code."""
        if self.process.returncode is None:
            self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._end()

    def _has_ended(self) -> bool:
        """Looks without reaping, so that the group's number stays ours."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, options) is not None

    def _end(self) -> int:
        """Leave nothing of the group running, not even what outlived the command itself."""
        if self.process.returncode is None:
            self._signal(signal.SIGKILL)
            _, status, usage = os.wait4(self.process.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return self.process.returncode

    def last_words(self, lines: int = 40) -> list[str]:
        """The last lines of its log."""
        return tail_of(self.log, lines)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def tail_of(file: Path, lines: int) -> list[str]:
    """The last lines of a text file; a progress line that was overwritten counts once."""
    if not file.is_file():
        return []
    with file.open("rb") as content:
        content.seek(0, os.SEEK_END)
        content.seek(max(0, content.tell() - 64_000))
        text = content.read().decode("utf-8", "replace")
    return [line.rsplit("\r", 1)[-1] for line in text.splitlines()[-lines:]]


class Lines:
    """New JSON objects of a growing file, line by line; a line still being written waits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def new(self, *, most: int = 2000) -> list[dict[str, Any]]:
        """At most so many objects that came since the last call; broken lines are left out."""
        return list(self._new(most))

    def _new(self, most: int) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as content:
            if content.seek(0, os.SEEK_END) < self.offset:
                self.offset = 0  # replaced by a shorter one
            content.seek(self.offset)
            for _ in range(most):
                line = content.readline()
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                with contextlib.suppress(ValueError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield found
