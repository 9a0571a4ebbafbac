"""The worker process: a lane each for data, training, asking, rehearsals and the playground."""

import asyncio
import signal
import threading
import time
from datetime import timedelta
from functools import partial

import structlog
from procrastinate import PsycopgConnector
from procrastinate.worker import Worker

from app.db import connect
from app.jobs import Lane, queue
from app.worker.capabilities import capabilities, queues_of
from app.worker.cleaning import clean_daily
from app.worker.folders import remove_abandoned
from app.worker.imports import expire
from app.worker.imports.upkeep import tidy_uploads
from app.worker.lease import STALLED, reach, take_over
from app.worker.memory import collect_rarely, take_short_turns
from app.worker.overlap import retire_forgotten
from app.worker.player import player
from app.worker.presence import NOTHING, Presence, forget_silent
from app.worker.rehearsing import expire_checks
from app.worker.rounds import look_after_rounds

log = structlog.get_logger(__name__)

AT_ONCE = {Lane.DATA: 2, Lane.TRAIN: 1, Lane.ASK: 1, Lane.CHECK: 1, Lane.PLAY: 1}
HEARTBEAT = 5.0  # seconds
TIDY_EVERY = 3600.0  # seconds
ROUNDS_EVERY = 2.0  # seconds between two looks at the rounds that go on
POOL = 12  # connections for the jobs; the queue has its own


def run(database_url: str, *, stalled: timedelta = STALLED) -> None:
    """Work off the queue until SIGTERM or Ctrl-C; then put unfinished trainings back into it.

    `stalled` is the silence after which another worker's jobs are taken over.
    """
    engine = connect(database_url, pool_size=POOL)
    try:
        asyncio.run(_serve(database_url, stalled=stalled))
    finally:
        player.close()
        engine.dispose()


async def _serve(database_url: str, *, stalled: timedelta) -> None:
    queue.perform_import_paths()  # type: ignore[no-untyped-call]
    collect_rarely()
    take_short_turns()
    conninfo = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    connector = PsycopgConnector(conninfo=conninfo, min_size=2, max_size=6)
    stopping = threading.Event()  # jobs look at it, from their threads
    with queue.replace_connector(connector):
        async with queue.open_async():
            await _work(stopping, stalled=stalled)


async def _work(stopping: threading.Event, *, stalled: timedelta) -> None:
    able = await asyncio.to_thread(capabilities)
    by_lane = {lane: _lane(lane, stalled=stalled, stopping=stopping) for lane in AT_ONCE}
    workers = list(by_lane.values())
    presence = Presence(by_lane, able)
    caretakers = [
        asyncio.create_task(presence.keep()),
        asyncio.create_task(_take_over_again_and_again(stalled)),
        asyncio.create_task(_tidy_again_and_again()),
        asyncio.create_task(_go_round_and_round()),
    ]
    told = asyncio.create_task(_signalled())
    lanes = [asyncio.create_task(worker.run()) for worker in workers]  # type: ignore[no-untyped-call]
    log.info("worker ready", lanes={lane.value: n for lane, n in AT_ONCE.items()}, **able)
    # A lane that ends by itself (the database went away) ends the other one, too.
    await asyncio.wait([told, *lanes], return_when=asyncio.FIRST_COMPLETED)
    stopping.set()
    for worker in workers:
        worker.stop()  # type: ignore[no-untyped-call]
    ends = await asyncio.gather(*lanes, return_exceptions=True)
    for caretaker in caretakers:
        caretaker.cancel()
    told.cancel()
    await presence.leave()
    log.info("worker stopped")
    for end in ends:
        if isinstance(end, BaseException):
            raise end


def _lane(lane: Lane, *, stalled: timedelta, stopping: threading.Event) -> Worker:
    return Worker(
        queue,
        queues=queues_of(lane) or NOTHING,
        name=lane.value,
        concurrency=AT_ONCE[lane],
        fetch_job_polling_interval=2.0,
        install_signal_handlers=False,
        update_heartbeat_interval=min(HEARTBEAT, stalled.total_seconds() / 4),
        stalled_worker_timeout=stalled.total_seconds(),
        delete_jobs="successful",
        additional_context={"stopping": stopping},
    )


async def _signalled() -> None:
    """Wait for SIGTERM or Ctrl-C."""
    came = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, came.set)
    await came.wait()


async def _take_over_again_and_again(stalled: timedelta) -> None:
    """Look for lost workers, but not after a silence of our own.

    When this machine slept or the database was away, the others could not beat either: they get
    another round before anything is taken from them.
    """
    heard = 0.0  # by the wall clock, which goes on while a machine sleeps
    while True:
        await asyncio.sleep(stalled.total_seconds() / 8)
        now = time.time()
        is_fresh = now - heard < stalled.total_seconds() / 2
        look = partial(take_over, silent_for=stalled) if is_fresh else reach
        try:
            await asyncio.to_thread(look)
            heard = now
        except Exception as error:  # noqa: BLE001 - the next round tries again
            log.warning("could not look for lost workers", error=str(error))


async def _tidy_again_and_again() -> None:
    """Throw away what nobody has come back for, and what uploads left that were cut off."""
    while True:
        for tidy in (
            expire,
            expire_checks,
            tidy_uploads,
            clean_daily,
            retire_forgotten,
            remove_abandoned,
            forget_silent,
        ):
            try:
                await asyncio.to_thread(tidy)
            except Exception as error:  # noqa: BLE001 - the next round tries again
                log.warning("could not tidy up", error=str(error))
        await asyncio.sleep(TIDY_EVERY)


async def _go_round_and_round() -> None:
    """Move the rounds of all projects on; every worker looks, and each move is made once."""
    while True:
        try:
            await asyncio.to_thread(look_after_rounds)
        except Exception as error:  # noqa: BLE001 - the next look tries again
            log.warning("could not look after the rounds", error=str(error))
        await asyncio.sleep(ROUNDS_EVERY)
