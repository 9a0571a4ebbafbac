"""A turn of the playground: its answers are written side by side, then read and scored."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db import JobState, JsonObject, transaction
from app.errors import AppError, LeaseLost, Stopped
from app.generation.models import Endpoint
from app.generation.service import target_of
from app.jobs import JobName, Lane, queue
from app.playground import queries, rules, service
from app.playground.models import (
    PlayAnswer,
    PlayConversation,
    PlayReading,
    PlayTurn,
    ReadingKind,
)
from app.runs.rules import failure
from app.runs.service import Lease
from app.worker.asking import Question, answer
from app.worker.folders import work_folder
from app.worker.inputs import materialised, model_source
from app.worker.lease import Pulse, Stop
from app.worker.player import player, put_order
from app.worker.process import Child, Lines

log = structlog.get_logger(__name__)

LOOK = 0.03  # seconds between two looks at what the child said
PATIENCE = 60.0  # seconds for which a write waits for the database
SILENCE = 600.0  # seconds without a word after which the child is taken to hang

T = TypeVar("T")
Rows = Callable[[Session], Sequence[T]]


@queue.task(name=JobName.PLAY, queue=Lane.PLAY, pass_context=True)
def play(context: JobContext, *, turn_id: str) -> None:
    play_turn(UUID(turn_id), stopping=context.additional_context["stopping"])


def play_turn(turn_id: UUID, *, stopping: threading.Event) -> None:
    """Take the turn, let the child answer, and end the attempt."""
    with transaction() as session:
        lease = service.begin(session, turn_id=turn_id)
    if lease is None:
        return  # stopped or deleted meanwhile
    try:
        with (
            Pulse(partial(service.hold, lease=lease), stopping=stopping) as pulse,
            work_folder("play", lease) as folder,
        ):
            Attempt(lease, folder, pulse, stopping).carry_out()
    except LeaseLost:
        player.close()  # it may still be writing
        log.warning("the turn was deleted, or ended by others", turn=str(turn_id))


class Unanswered(Exception):
    """The child ended without an answer; the sentence is for people."""


class Attempt:
    """One try of a turn: an order of what is to be written, then one of what is to be read."""

    def __init__(self, lease: Lease, folder: Path, pulse: Pulse, stopping: threading.Event) -> None:
        self.lease, self.folder, self.pulse, self.stopping = lease, folder, pulse, stopping
        self.tokens: dict[str, list[JsonObject]] = {}
        self.first: dict[str, float] = {}  # when the first token of each answer was there
        self.begun = time.monotonic()

    def carry_out(self) -> None:
        error = None
        try:
            with ExitStack() as stack:
                self._have_written(stack)
                self._leave_out()
                self._order("read", self._unread, partial(self._to_read, stack))
        except LeaseLost:
            raise
        except Stopped:
            player.close()
            error = rules.STOPPED
        except (Unanswered, AppError) as problem:
            error = getattr(problem, "detail", str(problem))
        except Exception as problem:
            log.exception("answering failed unexpectedly", turn=str(self.lease.id))
            error = (
                f"The worker could not carry this out ({type(problem).__name__}: {problem}). Its "
                "log has the details."
            )
        self._write(partial(service.close, lease=self.lease, error=error))

    # -- orders -------------------------------------------------------------------------------

    def _have_written(self, stack: ExitStack) -> None:
        """Endpoints write from threads of their own, while the child does."""
        with ThreadPoolExecutor(rules.MOST_MODELS, thread_name_prefix="endpoint") as pool:
            asked = [
                pool.submit(answer, each, tell=self._tell, stop=lambda: self.pulse.stop)
                for each in self._write(self._questions)
            ]
            self._order("write", self._unwritten, partial(self._to_write, stack))
            for each in asked:
                each.result()

    def _questions(self, session: Session) -> list[Question]:
        turn = session.get_one(PlayTurn, self.lease.id)
        rows = session.execute(
            select(PlayAnswer.id, Endpoint)
            .join(Endpoint, Endpoint.id == PlayAnswer.endpoint_id)
            .where(PlayAnswer.turn_id == turn.id, PlayAnswer.state == JobState.RUNNING)
            .order_by(PlayAnswer.place)
        )
        messages = _messages(session, turn)
        return [Question(str(its), target_of(to), messages, turn.settings) for its, to in rows]

    def _unwritten(self, session: Session) -> Sequence[PlayAnswer]:
        """Answers of the models here."""
        return session.scalars(
            select(PlayAnswer)
            .where(
                PlayAnswer.turn_id == self.lease.id,
                PlayAnswer.state == JobState.RUNNING,
                PlayAnswer.endpoint_id.is_(None),
            )
            .order_by(PlayAnswer.place)
        ).all()

    def _to_write(self, stack: ExitStack, session: Session) -> list[JsonObject]:
        turn = session.get_one(PlayTurn, self.lease.id)
        messages = _messages(session, turn)
        return [
            {
                "key": str(written.id),
                **_model(stack, session, written.checkpoint_id),
                "messages": messages,
                "place": written.place,
                **turn.settings,
            }
            for written in self._unwritten(session)
        ]

    def _unread(self, session: Session) -> Sequence[tuple[PlayReading, PlayAnswer]]:
        rows = session.execute(
            select(PlayReading, PlayAnswer)
            .join(PlayAnswer, PlayAnswer.id == PlayReading.answer_id)
            .where(PlayAnswer.turn_id == self.lease.id, ~PlayReading.is_done)
            .order_by(PlayAnswer.place, PlayReading.kind, PlayReading.place)
        )
        return [(reading, written) for reading, written in rows]

    def _to_read(self, stack: ExitStack, session: Session) -> list[JsonObject]:
        messages = _messages(session, session.get_one(PlayTurn, self.lease.id))
        return [
            {
                "key": str(reading.id),
                **_model(stack, session, reading.checkpoint_id),
                "kind": reading.kind.value,
                "messages": messages,
                "text": rules.spoken(written.tokens)
                if reading.kind is ReadingKind.TOKENS and written.tokens
                else written.text,
                "is_whole": written.why_ended == "end",
            }
            for reading, written in self._unread(session)
        ]

    def _leave_out(self) -> None:
        """Answers that failed, or that came out empty, are not read."""
        self._write(partial(service.leave_unread, lease=self.lease))

    def _order(
        self, part: str, wanted: Rows[Any], make: Callable[[Session], list[JsonObject]]
    ) -> None:
        """Have the child carry it out; once more where it had just gone idle."""
        for number in (1, 2):
            if not self._write(wanted):
                return  # and no child is started for nothing
            child = player.ready()
            items = self._write(make)  # with the models that this very child has
            folder = self.folder / f"{part}-{number}"
            put_order(folder, **{part: items})
            player.send(folder)
            if self._follow(child, folder, items):
                return
        raise Unanswered("The process that answers ended before it began. Answer again.")

    def _follow(self, child: Child, folder: Path, items: list[JsonObject]) -> bool:
        """Tell the database what comes of it; False where the child was gone before it began."""
        said = Lines(folder / "said.jsonl")
        heard, is_stopped = time.monotonic(), False
        while True:
            code = child.poll()  # before the last look, so that nothing is missed
            lines = said.new()
            if lines:
                heard = time.monotonic()
            is_asked = self._tell(lines)
            if any(line["event"] == "done" for line in lines):
                player.loaded = frozenset(lines[-1]["loaded"])
                return True
            if code is not None and not lines:
                if code == 0 and said.offset == 0:
                    return False
                raise Unanswered(self._why(child, code))
            if self.stopping.is_set():
                raise Stopped
            if self.pulse.stop is Stop.LOST:
                raise LeaseLost(self.lease)
            if (is_asked or self.pulse.stop is Stop.CANCEL) and not is_stopped:
                is_stopped = True
                for item in items:
                    (folder / f"stop-{item['key']}").touch()
            if time.monotonic() - heard > SILENCE:
                player.close()
                raise Unanswered("The models did not answer for ten minutes and were ended.")
            time.sleep(LOOK)

    def _why(self, child: Child, code: int) -> str:
        words = child.last_words()
        player.close()
        if code in {-9, 137}:
            return (
                "The process that answers was killed by the system, most often because memory ran "
                "out. Ask one model at a time, or wait for the training to end."
            )
        return failure(code, words).replace("The training process", "The process that answers")

    # -- what the child says ------------------------------------------------------------------

    def _tell(self, lines: list[JsonObject]) -> bool:
        """Write down what came; True when somebody asked to stop."""
        pieces = []
        for line in lines:
            key, event = line["key"], line["event"]
            if event == "tokens":
                self.first.setdefault(key, time.monotonic() - self.begun)
                self.tokens.setdefault(key, []).extend(line["tokens"])
                pieces.append((UUID(key), str(line["text"])))
        is_asked = bool(pieces) and self._write(
            partial(service.grow, lease=self.lease, pieces=pieces)
        )
        for line in lines:
            if change := self._change(line):
                self._write(change)
        return is_asked

    def _change(self, line: JsonObject) -> Callable[[Session], None] | None:
        key, event, lease = line["key"], line["event"], self.lease
        if event == "loading":
            return partial(service.mark_loading, lease=lease, answer_id=UUID(key))
        if event == "end":
            tokens = self.tokens.get(key, [])
            figures = {
                "perplexity": line["perplexity"],
                "seconds": line["seconds"],
                "first_token": self.first.get(key),
                "tokens": len(tokens),
            }
            return partial(
                service.end_answer, lease=lease, answer_id=UUID(key), text=line["text"],
                tokens=tokens, why=line["why"], figures=figures,
            )  # fmt: skip
        if event == "score":
            figures = {
                "score": line["scores"],
                "spread": line.get("score_stds"),
                "ratings": line.get("predicted_ratings"),
            }
            return partial(service.note_reading, lease=lease, reading_id=UUID(key), figures=figures)
        if event == "reading":
            return partial(
                service.note_reading, lease=lease, reading_id=UUID(key), tokens=line["tokens"],
                figures={"perplexity": line["perplexity"]},
            )  # fmt: skip
        if event == "error":
            return partial(self._error, key=UUID(key), error=line["error"])
        return None

    def _error(self, session: Session, *, key: UUID, error: str) -> None:
        if session.get(PlayReading, key) is not None:
            service.note_error(session, lease=self.lease, reading_id=key, error=error)
        else:
            service.fail_answer(session, lease=self.lease, answer_id=key, error=error)

    # -- the database -------------------------------------------------------------------------

    def _write(self, write: Callable[[Session], T]) -> T:
        """One transaction, which waits for a database that is away."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with transaction() as session:
                    return write(session)
            except OperationalError:
                if time.monotonic() > deadline or self.pulse.stop is Stop.LOST:
                    raise LeaseLost(self.lease) from None
                time.sleep(1.0)


def _messages(session: Session, turn: PlayTurn) -> list[dict[str, str]]:
    conversation = session.get_one(PlayConversation, turn.conversation_id)
    messages = queries.messages_before(session, turn=turn)
    if conversation.system:
        messages.insert(0, {"role": "system", "content": conversation.system})
    return messages


def _model(stack: ExitStack, session: Session, checkpoint_id: UUID | None) -> dict[str, Any]:
    """A model by its name and where it lies here; one that is loaded is not fetched again."""
    if checkpoint_id is None:
        raise Unanswered("The checkpoint has been deleted meanwhile. Choose another one.")
    name = str(checkpoint_id)
    if name in player.loaded:
        return {"id": name, "folder": ""}
    source = model_source(session, checkpoint_id=checkpoint_id)
    assert source is not None
    return {"id": name, "folder": str(stack.enter_context(materialised(source)))}
