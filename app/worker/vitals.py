"""What can be seen of a child from outside: whether it does anything, and where it hangs."""

import contextlib
import signal
import time
from pathlib import Path

import psutil

from app.runs import rules
from app.worker.process import Child

LOOK_EVERY = 5.0  # seconds between two looks at the processor time of a child
BUSY = 0.02  # of one core: below it nothing is computed
SPINS = 12  # times the limit: who computes so long without a word waits in a loop for a device
DUMP = 3.0  # seconds for the stacks to be written


class Stillness:
    """Notices that nothing comes from a child and that it computes nothing, for `limit` seconds.

    An evaluation or a compilation writes nothing for long, but computes: it is no hang, unless it
    takes `SPINS` times as long, for a thread that waits for a GPU may keep a core busy. Times are
    given, so that it needs no clock of its own.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.silent = 0.0  # seconds since something was written, at the last look
        self.is_still = False  # whether it did not even compute
        self._since: float | None = None  # last sign of life
        self._news_at = 0.0
        self._cpu = 0.0  # processor seconds at the last sign of life

    def sees(self, now: float, *, news: bool, cpu_seconds: float) -> bool:
        """Whether it hangs; `news` says that something was written since the last look."""
        if self._since is None or news:
            self._news_at = now
        if self._since is None or news or abs(cpu_seconds - self._cpu) > self._idle(now):
            self._since, self._cpu = now, cpu_seconds
        self.silent = now - self._news_at
        self.is_still = now - self._since >= self.limit
        return self.limit > 0 and (self.is_still or self.silent >= SPINS * self.limit)

    def _idle(self, now: float) -> float:
        """Processor time that threads which only wait use up."""
        assert self._since is not None
        return BUSY * max(now - self._since, min(self.limit, LOOK_EVERY))


class Watch:
    """Looks every few seconds whether a child hangs."""

    def __init__(self, child: Child, *, minutes: float) -> None:
        self.child = child
        self._stillness = Stillness(60 * minutes)
        self._every = min(LOOK_EVERY, 60 * minutes / 8)
        self._next = 0.0
        self._news = False
        self._log_bytes = 0

    def hangs(self, *, news: bool) -> bool:
        """`news`: it has written a line since the last call."""
        self._news |= news
        now = time.monotonic()
        if not self._every or now < self._next:
            return False
        self._next = now + self._every
        with contextlib.suppress(OSError):
            size = self.child.log.stat().st_size
            self._news |= size != self._log_bytes
            self._log_bytes = size
        hangs = self._stillness.sees(now, news=self._news, cpu_seconds=cpu_seconds(self.child))
        self._news = False
        return hangs

    def in_words(self) -> str:
        """What was seen of a child that hangs."""
        if self._stillness.is_still:
            return rules.hung(self._stillness.limit)
        return rules.spun(self._stillness.silent)

    def begin_again(self) -> None:
        """Count from now."""
        self._stillness = Stillness(self._stillness.limit)


def family(child: Child) -> list[psutil.Process]:
    """The child and all that it started."""
    try:
        top = psutil.Process(child.process.pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def cpu_seconds(child: Child) -> float:
    """Processor time of all its processes, and of those of them that have ended."""
    total = 0.0
    for process in family(child):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def wake(child: Child) -> bool:
    """Let processes of it that somebody halted (SIGSTOP) go on; whether there were any."""
    halted = False
    for process in family(child):
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_STOPPED:
                process.send_signal(signal.SIGCONT)
                halted = True
    return halted


def dump_stacks(child: Child) -> None:
    """Let each process that can write what its threads are doing into the log; wait a little.

    The signal ends a process that does not catch it, so only those that do get it.
    """
    asked = [process for process in family(child) if _catches(process.pid, signal.SIGUSR1)]
    before = child.log.stat().st_size if child.log.is_file() else 0
    for process in asked:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + DUMP
    size = before
    while asked and time.monotonic() < deadline:
        time.sleep(0.1)
        grown = child.log.stat().st_size
        if grown > before and grown == size:
            return
        size = grown


def _catches(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
