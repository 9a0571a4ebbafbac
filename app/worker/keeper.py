"""What an attempt of a run registers: both the row and the files, or neither."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from sqlalchemy.exc import OperationalError

from app import artifacts
from app.db import brief_transaction
from app.errors import AppError, LeaseLost
from app.runs.service import Lease
from app.worker.lease import Pulse, Stop

PATIENCE = 60.0  # seconds for which the last write of an attempt waits for the database

T = TypeVar("T")


class Keeper:
    """Writes of one attempt, and the files that go with them."""

    def __init__(self, lease: Lease, pulse: Pulse) -> None:
        self.lease, self.pulse = lease, pulse

    @contextlib.contextmanager
    def registering(self, path: str | None) -> Iterator[None]:
        """What a write would have registered goes when another attempt has the run by then."""
        try:
            yield
        except LeaseLost:
            if path is not None:
                self.discard(path)
            raise

    def discard(self, path: str) -> None:
        with contextlib.suppress(OSError, AppError):
            artifacts.remove(path)

    def write(self, write: Callable[..., T]) -> T:
        """One transaction that must not be missed: it waits for a database that is away."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with brief_transaction() as session:
                    return write(session)
            except OperationalError:
                if time.monotonic() > deadline or self.pulse.stop is Stop.LOST:
                    raise LeaseLost(self.lease) from None
                time.sleep(1.0)
