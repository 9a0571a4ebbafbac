"""The child process that keeps models loaded for the playground, and its folder of work."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.config import settings, usable_cores
from app.worker.process import TRAINER, Child

GRACE = 2.0  # seconds for it to end by itself
THREADS = max(1, usable_cores() // 2)  # a training beside it keeps the others


class Player:
    """At most one child of this worker, started when it is needed; it ends itself when idle."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.loaded: frozenset[str] = frozenset()  # models it has, as it said last
        self.pipe = -1

    @property
    def home(self) -> Path:
        return settings.home_path / "work" / f"player-{os.getpid()}"

    def ready(self) -> Child:
        """The child, started where it does not live."""
        child = self.child
        return self._start() if child is None or child.poll() is not None else child

    def send(self, folder: Path) -> None:
        """Hand an order to the child."""
        os.write(self.pipe, f"{folder}\n".encode())

    def _start(self) -> Child:
        self.close()
        self.home.mkdir(parents=True)
        inbox = self.home / "inbox"
        os.mkfifo(inbox, 0o600)
        # For reading, too: so that opening waits for nobody, and a line never finds it closed.
        self.pipe = os.open(inbox, os.O_RDWR | os.O_CLOEXEC)
        self.child = Child(
            [
                *(*TRAINER, "play", str(inbox)),
                *("--idle", str(60 * settings.play_minutes), "--threads", str(THREADS)),
                *("--device", settings.train_device),
            ],
            log=self.home / "log.txt",
        )
        return self.child

    def close(self) -> None:
        """End the child, and clean up after it."""
        if self.child is not None:
            self.child.stop(grace=GRACE)
            self.child.__exit__()
        if self.pipe >= 0:
            os.close(self.pipe)
        self.child, self.pipe, self.loaded = None, -1, frozenset()
        shutil.rmtree(self.home, ignore_errors=True)


player = Player()


def put_order(
    folder: Path, *, write: Sequence[dict[str, Any]] = (), read: Sequence[dict[str, Any]] = ()
) -> None:
    """What the child is to do, as it reads it."""
    folder.mkdir()
    (folder / "order.json").write_text(
        json.dumps({"write": list(write), "read": list(read)}, ensure_ascii=False),
        encoding="utf-8",
    )
