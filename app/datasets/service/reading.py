"""Reading what a snapshot is made of: in this process, or beside it where prompts are many.

Reading and assembling rows takes an interpreter more than twice as long as writing them. So the
prompts of a large project are cut into stretches by their hashes, which two processes read in turn,
both at the moment that the snapshot sees. What comes of it is the same, in the same order.
"""

import gc
import pickle
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.config import usable_cores
from app.datasets import queries
from app.datasets.service.assembling import Assembled, Assembly, Plan
from app.db import connect, transaction
from app.errors import Invalid
from app.projects.models import Project

MANY = 50_000  # prompts, from which it pays to start processes
PROCESSES = 2  # of 150 MB each; more would wait for the one that writes
STRETCH = 500  # prompts that come at once, about
ENDED_EARLY = (
    "A process that read for this snapshot was ended, most often because memory ran out. Free some"
    " and try again; if it happens again, the log says what it said."
)
_READER = (sys.executable, "-P", "-c", "from app.datasets.service import reading; reading.main()")


@contextmanager
def few_collections() -> Iterator[None]:
    """Look for garbage more rarely: rows make no cycles, and looking took a third of the time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def rows_of_prompts(
    session: Session, *, project: Project, assembly: Assembly
) -> Generator[Assembled | None]:
    """`assembly.rows_of` every prompt, sorted by content hash.

    `session` is not for others until the last one has come, and all is counted only then.
    """
    number = queries.number_of_prompts(session, project=project)
    is_worth_it = number >= MANY and usable_cores() > 1
    moment = queries.share_moment(session) if is_worth_it else None
    if moment is None:
        with closing(queries.judged_prompts(session, project=project, ahead=True)) as prompts:
            yield from map(assembly.rows_of, prompts)
        return
    asked = Share(
        url=session.connection().engine.url.render_as_string(hide_password=False),
        moment=moment,
        project_id=project.id,
        plan=assembly.plan,
        stretches=-(-number // STRETCH),
    )
    with ExitStack() as stack:
        readers = [stack.enter_context(_reader(asked, first)) for first in range(PROCESSES)]
        for stretch in range(asked.stretches):
            yield from next(readers[stretch % PROCESSES])
        for reader in readers:
            assembly.add(*next(reader))


@dataclass(frozen=True, slots=True)
class Share:
    """What is asked of both processes, each of which reads every other of the stretches."""

    url: str
    moment: str
    project_id: UUID
    plan: Plan
    stretches: int


@contextmanager
def _reader(asked: Share, first: int) -> Iterator[Iterator[Any]]:
    """What one of the processes says, fetched one ahead. It ends with the block, or with us.

    Signals to this process's group are not for it: here is decided what becomes of the snapshot.
    """
    process = subprocess.Popen(
        _READER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, ThreadPoolExecutor(1, thread_name_prefix="reader") as thread:
        try:
            with suppress(BrokenPipeError):  # it has ended, as whoever listens to it will notice
                pickle.dump((asked, first), process.stdin)
                process.stdin.close()
            yield _said(process.stdout, thread)
        finally:
            process.kill()


def _said(stdout: IO[bytes], thread: ThreadPoolExecutor) -> Iterator[Any]:
    coming: Future[Any] = thread.submit(pickle.load, stdout)
    while True:
        try:
            said = coming.result()
        except (EOFError, pickle.UnpicklingError) as error:
            raise Invalid(ENDED_EARLY) from error
        coming = thread.submit(pickle.load, stdout)
        yield said


def main() -> None:
    """One of the processes: each of its stretches as a pickle, at last its assembly's counts."""
    asked, first = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the process above
    connect(asked.url, pool_size=1)
    assembly = Assembly(asked.plan)
    with few_collections(), transaction() as session:
        queries.see_moment_of(session, asked.moment)
        project = session.get_one(Project, asked.project_id)
        for number in range(first, asked.stretches, PROCESSES):
            stretch = (number, asked.stretches)
            prompts = queries.judged_prompts(session, project=project, stretch=stretch)
            _say([assembly.rows_of(prompt) for prompt in prompts])
    _say((assembly.counts, assembly.tally))


def _say(what: Any) -> None:
    pickle.dump(what, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
    sys.stdout.buffer.flush()
