"""A worker lets the platform know that it lives, what it can do, and hears that it is to rest."""

import asyncio
import os
import threading
from collections.abc import Mapping
from importlib.metadata import version
from uuid import UUID, uuid4

import psutil
import structlog
from procrastinate.worker import Worker

from app.db import JsonObject, transaction
from app.jobs import Lane
from app.runs.service import workers as known
from app.worker.capabilities import queues_of
from app.worker.troubles import host

log = structlog.get_logger(__name__)

BEAT = 2.0  # seconds
NOTHING = ["(nothing)"]  # a queue that nobody fills


class Presence:
    """What others see of this worker."""

    def __init__(self, workers: Mapping[Lane, Worker], capabilities: JsonObject) -> None:
        self.id: UUID = uuid4()
        self.workers = workers
        self.capabilities = capabilities
        self._telling = threading.Lock()  # a beat must not come after the farewell
        self._has_left = False

    async def keep(self) -> None:
        """Beat again and again; while an admin wants it, take nothing new."""
        while True:
            try:
                rests = await asyncio.to_thread(self.beat)
            except Exception as error:  # noqa: BLE001 - the next beat tries again
                log.warning("could not tell that the worker lives", error=str(error))
            else:
                self.rest(wanted=rests)
            await asyncio.sleep(BEAT)

    def beat(self) -> bool:
        """Say that it lives; True when it is to take nothing new."""
        numbers = [worker.worker_id for worker in self.workers.values()]
        with self._telling, transaction() as session:
            return self._has_left or known.beat(
                session,
                worker_id=self.id,
                host=host(),
                pid=os.getpid(),
                version=version("touchstone"),
                queues=[name for lane in self.workers for name in queues_of(lane)],
                queue_workers=[number for number in numbers if number is not None],
                capabilities=self.capabilities,
                is_alive=psutil.pid_exists,
            )

    def rest(self, *, wanted: bool) -> None:
        """Which queues a lane reads is asked at each job: what runs goes on, and so do beats."""
        for lane, worker in self.workers.items():
            worker.queues = NOTHING if wanted else queues_of(lane) or NOTHING

    async def leave(self) -> None:
        """Say that it ends in order."""
        try:
            await asyncio.to_thread(self._leave)
        except Exception as error:  # noqa: BLE001 - it is seen to be silent, and forgotten later
            log.warning("could not tell that the worker ends", error=str(error))

    def _leave(self) -> None:
        with self._telling, transaction() as session:
            self._has_left = True
            known.leave(session, worker_id=self.id)


def forget_silent() -> None:
    """Workers that were killed long ago are no longer shown."""
    with transaction() as session:
        known.forget_silent(session)
