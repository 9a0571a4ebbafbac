"""What the processes of a training take of this machine, and what they say, told while it runs."""

import contextlib
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import structlog
from sqlalchemy.exc import OperationalError

from app.config import settings
from app.db import JsonObject, brief_transaction
from app.errors import LeaseLost
from app.runs.service import Lease, watching
from app.worker.process import Lines, tail_of

log = structlog.get_logger(__name__)

EVERY = 5.0  # seconds between two looks
TAIL = 200  # lines of the log that are shown while it runs
ASKED = "pid,used_memory"  # of nvidia-smi, for each process


class Usage:
    """The processor time and memory of a process and all that came from it, between two looks."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.known: dict[tuple[int, float], psutil.Process] = {}

    def now(self) -> JsonObject:
        """`cpu` in cores since the last look, `rss` in bytes; empty once all have ended."""
        cpu, rss, pids = 0.0, 0, []
        for process in self._tree():
            with contextlib.suppress(psutil.Error), process.oneshot():
                cpu += process.cpu_percent() / 100
                rss += process.memory_info().rss
                pids.append(process.pid)
        if not pids:
            return {}
        memory = psutil.virtual_memory().total
        return {"cpu": round(cpu, 2), "rss": rss, "memory_total": memory, **gpu_usage(pids)}

    def _tree(self) -> list[psutil.Process]:
        """The same objects at every look: they remember when they were asked last."""
        try:
            top = psutil.Process(self.pid)
            found = [top, *top.children(recursive=True)]
        except psutil.Error:
            return []
        alive = {(each.pid, each.create_time()): each for each in found if each.is_running()}
        self.known = {key: self.known.get(key, each) for key, each in alive.items()}
        return list(self.known.values())


def gpu_usage(pids: list[int]) -> JsonObject:
    """`gpu_memory` of these processes, and `gpu` (share busy) and `gpu_total` of their cards."""
    if settings.train_device == "cpu" or shutil.which("nvidia-smi") is None:
        return {}
    mine = [
        row for row in _ask("compute-apps", "pid,gpu_uuid,used_memory") if row[0] in map(str, pids)
    ]
    cards = {row[1] for row in mine}
    busy = [row for row in _ask("gpu", "uuid,utilization.gpu,memory.total") if row[0] in cards]
    if not busy:
        return {}
    megabyte = 1 << 20
    return {
        "gpu_memory": sum(_number(row[2]) for row in mine) * megabyte,
        "gpu": round(sum(_number(row[1]) for row in busy) / 100, 2),
        "gpu_total": sum(_number(row[2]) for row in busy) * megabyte,
    }


def _ask(what: str, fields: str) -> list[list[str]]:
    """Rows of nvidia-smi; none where it does not answer."""
    command = ["nvidia-smi", f"--query-{what}={fields}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=EVERY, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in said.stdout.splitlines()]


def _number(cell: str) -> int:
    return int(cell) if cell.isdigit() else 0


class Watcher:
    """Tells of an attempt, from a thread of its own, what its child takes and says."""

    def __init__(
        self, lease: Lease, pid: int, *, log: Path, output: Path, every: float = EVERY
    ) -> None:
        self.lease, self.log, self.every = lease, log, every
        self.usage = Usage(pid)
        self.warnings = Lines(output / "warnings.jsonl")
        self.untold: list[str] = []
        self.tail = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        self.usage.now()  # the first look has nothing to compare with
        last = False
        while not last:
            last = self._ended.wait(self.every)  # once more at the end, for what came last
            try:
                self._tell()
            except LeaseLost:
                return
            except OperationalError as error:
                log.warning("what the training takes was not told", error=str(error.orig))
            except Exception:
                log.exception("the watcher of a training ended", run=str(self.lease.id))
                return

    def _tell(self) -> None:
        self.untold += [str(line.get("message") or "") for line in self.warnings.new()]
        tail = "\n".join(tail_of(self.log, TAIL))
        with brief_transaction() as session:
            watching.tell_of(
                session,
                lease=self.lease,
                usage=self.usage.now(),
                tail=tail if tail != self.tail else None,
                warnings=self.untold,
            )
        self.tail, self.untold = tail, []
