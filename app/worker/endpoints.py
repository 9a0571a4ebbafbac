"""Endpoints write for a generation: several requests at once, errors told by prompt."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import structlog

from app.completions import BadReply, Interrupted, Target, Unusable, Writer
from app.db import JsonObject
from app.generation.rules import Turn
from app.generation.service import NewWriting
from app.worker.lease import Pulse

log = structlog.get_logger(__name__)

IN_A_ROW = 20  # prompts without any response, after which the endpoint is given up
LOOK = 0.1  # seconds between two looks at whether somebody wants it to end
GATHER = 1.0  # seconds of which answers are stored together


@dataclass(frozen=True)
class Asking:
    place: int
    turn: Turn
    top_p: float
    max_new_tokens: int
    at_once: int


def answers(
    target: Target, asking: Asking, lines: Iterator[JsonObject], pulse: Pulse
) -> Iterator[list[NewWriting]]:
    """What the endpoint writes to each of the prompts, as it comes.

    A prompt that it cannot answer is told with the reason. Raises `Unusable` where it answers
    nothing more at all; what had come by then has been given out. Ends early when `pulse` stops.
    """
    with (
        Writer(target) as writer,
        ThreadPoolExecutor(asking.at_once, thread_name_prefix="endpoint") as pool,
    ):
        try:
            yield from _gathered(writer, asking, lines, pulse, pool)
        finally:
            writer.hang_up()
            pool.shutdown(cancel_futures=True)


def _gathered(
    writer: Writer,
    asking: Asking,
    lines: Iterator[JsonObject],
    pulse: Pulse,
    pool: ThreadPoolExecutor,
) -> Iterator[list[NewWriting]]:
    waiting: set[Future[NewWriting]] = set()
    ready: list[NewWriting] = []
    failed, since = 0, time.monotonic()
    problem: Unusable | None = None
    while problem is None and pulse.stop is None:
        room = asking.at_once - len(waiting)
        waiting |= {pool.submit(_asked, writer, asking, line) for line in islice(lines, room)}
        if not waiting:
            break
        done, waiting = wait(waiting, timeout=LOOK, return_when=FIRST_COMPLETED)
        for each in done:
            try:
                ready.append(each.result())
            except Unusable as error:
                problem = error
                continue
            except Interrupted:
                continue
            failed = failed + 1 if ready[-1].error else 0
        if failed >= IN_A_ROW:
            problem = Unusable(
                f"{failed} prompts in a row got no response from the endpoint; the last one: "
                f"{ready[-1].error}"
            )
        if ready and (problem or not waiting or time.monotonic() - since > GATHER):
            yield ready
            ready, since = [], time.monotonic()
    if ready:
        yield ready
    if problem is not None:
        raise problem


def _asked(writer: Writer, asking: Asking, line: JsonObject) -> NewWriting:
    """All responses of the turn to one prompt; each has a seed of its own."""
    texts: list[JsonObject] = []
    empty = refused = 0
    reason = None
    for number in range(asking.turn.n):
        seed = (asking.turn.seed + number) % 2**31
        try:
            reply = writer.write(
                line["prompt"],
                system=line.get("system"),
                temperature=asking.turn.temperature,
                top_p=asking.top_p,
                max_new_tokens=asking.max_new_tokens,
                seed=seed,
            )
        except BadReply as error:
            reason = str(error)
            continue
        refused += reply.refused
        if reply.text:
            sampled = {"temperature": asking.turn.temperature, "seed": seed}
            texts.append({"text": reply.text, **sampled, "finish": reply.finish})
        else:
            empty += 1
    if not texts and reason is None:
        reason = "Every response was empty."
    return NewWriting(
        UUID(line["id"]),
        asking.place,
        asking.turn.number,
        texts=texts,
        empty=empty,
        refused=refused,
        error=reason if not texts else None,
    )
