"""Contestants answer the prompts of an evaluation, and a reward model scores what they wrote."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.config import settings
from app.db import JsonObject, transaction
from app.errors import LeaseLost
from app.evaluation.queries.reading import Contestant
from app.evaluation.service import attempts
from app.evaluation.service.attempts import Side
from app.generation.models import Endpoint
from app.generation.rules import Turn
from app.generation.service import target_of
from app.runs import rules
from app.runs.models import Checkpoint
from app.runs.service.lease import Lease
from app.worker.endpoints import Asking, answers
from app.worker.inputs import ModelSource, materialised, model_source
from app.worker.lease import GRACE, RELAY, Pulse, Stop
from app.worker.process import TRAINER, Child, Lines

log = structlog.get_logger(__name__)

AT_ONCE = 100  # prompts stored in one transaction
FRESH = 1  # added to the seed: best of n draws other responses than those people judge
Store = Callable[[Session, Sequence[JsonObject]], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """What is to be done, as the database says."""

    id: UUID
    project_id: UUID
    contestants: dict[Side, Contestant]
    reward: Checkpoint | None
    config: JsonObject


@dataclass(frozen=True)
class Attempt:
    order: Order
    lease: Lease
    folder: Path
    pulse: Pulse

    def busy_with(self, what: str, *, total: int) -> None:
        with transaction() as session:
            attempts.hold(session, lease=self.lease, activity=what, done=0, total=total)


class Ended(Exception):
    """A child did not end well: why, in words."""


def let_answer(
    attempt: Attempt, side: Side, prompts: Path, output: Path, *, n: int, store: Store
) -> None:
    """A checkpoint answers as a child, an endpoint where it stands; both into `output`."""
    config = attempt.order.config
    seed = int(config["seed"]) + (FRESH if n > 1 else 0)
    contestant = attempt.order.contestants[side]
    if isinstance(contestant, Endpoint):
        turn = Turn(0, n, float(config["temperature"]), seed)
        _ask(attempt, side, contestant, turn, prompts, output, store)
        return
    _run(
        attempt,
        contestant,
        ["generate", str(prompts)],
        [
            *("--output", str(output), "--source", contestant.source),
            *("--n", str(n), "--temperature", str(config["temperature"])),
            *("--top-p", str(config["top_p"]), "--max-new-tokens", str(config["max_new_tokens"])),
            *("--seed", str(seed), "--device", settings.train_device),
        ],
        output,
        store,
    )


def _ask(
    attempt: Attempt,
    side: Side,
    endpoint: Endpoint,
    turn: Turn,
    prompts: Path,
    output: Path,
    store: Store,
) -> None:
    """Store what an endpoint answers, and of prompts that it does not answer the reason."""
    config, pulse = attempt.order.config, attempt.pulse
    asking = Asking(0, turn, config["top_p"], config["max_new_tokens"], endpoint.at_once)
    with prompts.open(encoding="utf-8") as asked, output.open("a", encoding="utf-8") as written:
        lines = {line["id"]: line for line in map(json.loads, asked)}
        for writings in answers(target_of(endpoint), asking, iter(lines.values()), pulse):
            told = [
                lines[str(each.prompt_id)] | {"responses": list(each.texts)}
                for each in writings
                if each.texts
            ]
            written.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in told)
            _stored_or_later(attempt, store, told)
            if turn.n == 1:  # further answers, for the best of n, may be missing
                why = {each.prompt_id: each.error for each in writings if each.error}
                _stored_or_later(attempt, partial(_refuse, attempt, side), why)
    if pulse.stop is Stop.LOST:
        raise LeaseLost(attempt.lease)
    _end_if_asked(attempt)


def _refuse(attempt: Attempt, side: Side, session: Session, why: dict[UUID, str]) -> None:
    attempts.record_refusals(session, lease=attempt.lease, side=side, why=why)


def _stored_or_later(attempt: Attempt, store: Callable[[Session, T], None], what: T) -> None:
    """Store it, and as often again as the database is away: it cost a request each."""
    while what:
        try:
            with transaction() as session:
                store(session, what)
                return
        except OperationalError as error:
            log.warning("what was written waits for the database", error=str(error.orig))
            if attempt.pulse.stop is Stop.LOST:
                raise LeaseLost(attempt.lease) from None
            time.sleep(RELAY)


def _end_if_asked(attempt: Attempt) -> None:
    if attempt.pulse.stop is not None:
        raise Ended("It was asked to stop.")


def judge(attempt: Attempt, lines: Path, output: Path, *, store: Store) -> None:
    assert attempt.order.reward is not None
    options = ["--output", str(output), "--device", settings.train_device]
    _run(attempt, attempt.order.reward, ["score", str(lines)], options, output, store)


def _run(
    attempt: Attempt,
    checkpoint: Checkpoint,
    what: Sequence[str],
    options: Sequence[str],
    output: Path,
    store: Store,
) -> None:
    """Let a child work, and store what it writes; `Ended` where it does not end well."""
    with transaction() as session:
        source = model_source(session, checkpoint_id=checkpoint.id)
    with ExitStack() as stack:
        model = stack.enter_context(materialised(source or ModelSource(checkpoint.path)))
        command = [*TRAINER, *what, "--model", str(model), *options]
        with attempt.pulse.child(command, log=attempt.folder / "log.txt") as child:
            code = _follow(attempt, child, Lines(output), store)
            words = child.last_words()
    if code:
        raise Ended(rules.failure(code, words))
    _end_if_asked(attempt)


def _follow(attempt: Attempt, child: Child, lines: Lines, store: Store) -> int:
    waiting: list[JsonObject] = []
    while True:
        code = child.poll()  # before the last look, so that nothing is missed
        stop = attempt.pulse.stop
        if stop is not None and code is None:
            code = child.stop(grace=GRACE[stop])
        if stop is Stop.LOST:
            raise LeaseLost(attempt.lease)
        waiting = waiting or lines.new(most=AT_ONCE)
        if waiting:
            try:
                with transaction() as session:
                    store(session, waiting)
                waiting = []
            except OperationalError as error:
                log.warning("what was written waits for the database", error=str(error.orig))
                time.sleep(RELAY)
        elif code is not None:
            return code
        else:
            time.sleep(RELAY)
