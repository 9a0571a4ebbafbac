"""One training: a child process, followed from its first line to the registered checkpoint."""

import shutil
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy.exc import OperationalError

from app import artifacts
from app.config import settings
from app.db import JsonObject, transaction
from app.errors import AppError, LeaseLost
from app.jobs import JobName, Lane, queue
from app.runs import rules
from app.runs import service as runs
from app.runs.service import Lease
from app.worker import cards, machine_memory, troubles, vitals
from app.worker.beginning import Beginning, Unusable
from app.worker.folders import work_folder
from app.worker.inputs import (
    Plan,
    checkpoint_steps,
    copy_tree,
    plan_of,
    read_json,
)
from app.worker.keeper import Keeper
from app.worker.lease import GRACE, RELAY, Pulse, Stop
from app.worker.process import Child, Lines, tail_of
from app.worker.resources import Watcher

log = structlog.get_logger(__name__)

ROOM = 3600.0  # seconds for which a finished model waits for room in the artifact store
AGAIN = 10.0  # seconds between two tries
STOPPED = 130  # exit code of a child that was asked to end


@queue.task(name=JobName.TRAIN, queue=Lane.TRAIN, pass_context=True)
def train(context: JobContext, *, run_id: str) -> None:
    train_run(UUID(run_id), stopping=context.additional_context["stopping"])


def train_run(run_id: UUID, *, stopping: threading.Event) -> None:
    """Take the run, train it in a child process, and end the attempt as the child did."""
    with transaction() as session:
        lease = runs.start(session, run_id=run_id, on=troubles.host())
        plan = plan_of(session, run_id=run_id) if lease else None
    if lease is None or plan is None:
        return  # cancelled meanwhile, or taken by somebody else
    try:
        with Pulse(partial(runs.hold, lease=lease), stopping=stopping) as pulse:
            try:
                with work_folder("runs", lease) as folder:
                    Attempt(lease, plan, folder, pulse).carry_out()
            except OSError as error:  # not even a folder to work in
                with transaction() as session:
                    runs.fail(session, lease=lease, error=troubles.in_words(error))
    except LeaseLost:
        log.warning("another attempt has the run", run=str(run_id), attempt=lease.attempt)


@dataclass(frozen=True)
class Ending:
    """How a child ended."""

    code: int
    peak: int = 0  # bytes of its largest process
    oom: bool = False  # the system killed something for memory meanwhile
    left_alone: bool = False  # nobody beat for it for too long

    @property
    def signal(self) -> int | None:
        return rules.signal_of(self.code)

    @property
    def for_memory(self) -> bool:
        limit = machine_memory.memory_limit()
        return self.signal == rules.SIGKILL and rules.out_of_memory(
            peak=self.peak, limit=limit, oom=self.oom
        )

    def in_words(self) -> str:
        return rules.killed(
            self.signal or 0, peak=self.peak, limit=machine_memory.memory_limit(), oom=self.oom
        )


class Attempt:
    """One try of a run, from its inputs to its end."""

    def __init__(self, lease: Lease, plan: Plan, folder: Path, pulse: Pulse) -> None:
        self.lease, self.pulse = lease, pulse
        self.beginning = Beginning(lease, plan, folder, pulse)
        self.keeper = Keeper(lease, pulse)
        self.output = folder / "run"
        self.log = folder / "log.txt"
        self.saved_step = 0
        self.unsaved_step = 0  # the last that could not be stored
        self.hang = ""  # what was seen of it
        self.home = f"runs/{lease.id}"  # of the run in the artifact store
        self.stored = f"{self.home}/attempt-{lease.attempt}"

    def carry_out(self) -> None:
        try:
            with ExitStack() as stack:
                command = self.beginning.command(stack)
                self.saved_step = self.beginning.saved_step
                ending = Ending(STOPPED) if command is None else self._train(command)
            self._conclude(ending)
        except LeaseLost:
            raise
        except (Unusable, AppError) as error:
            self._fail(getattr(error, "detail", str(error)))
        except Exception as error:
            log.exception("training failed unexpectedly", run=str(self.lease.id))
            self._fail(troubles.in_words(error))

    def _train(self, command: list[str]) -> "Ending":
        kills = machine_memory.oom_kills()
        with self.pulse.child(command, log=self.log) as child, self._watcher(child):
            code = self._follow(child)
            left_alone = child.is_left_alone
        oom = machine_memory.oom_kills() > kills
        return Ending(code, peak=child.peak, oom=oom, left_alone=left_alone)

    def _watcher(self, child: Child) -> Watcher:
        return Watcher(self.lease, child.process.pid, log=self.log, output=self.output)

    # -- while it runs ------------------------------------------------------------------------

    def _follow(self, child: Child) -> int:
        """Relay what the child writes until it ends; its exit code."""
        metrics = Lines(self.output / "metrics.jsonl")
        samples = Lines(self.output / "samples.jsonl")
        watch = vitals.Watch(child, minutes=settings.hang_minutes)
        waiting: tuple[list[JsonObject], list[JsonObject]] = ([], [])
        while True:
            code = child.poll()  # before the last look, so that nothing is missed
            stop = self.pulse.stop
            if stop is not None and code is None:
                code = child.stop(grace=GRACE[stop])
            if stop is Stop.LOST:
                raise LeaseLost(self.lease)
            newest = self._newest_checkpoint()  # looked for first, so that its figures are read
            fresh = metrics.new(), samples.new()
            waiting = (waiting[0] + fresh[0], waiting[1] + fresh[1])
            if any(waiting) and self._relay(*waiting):
                waiting = ([], [])
            if code is None:
                if not any(waiting):  # else a run that goes on from it would lack some figures
                    self._keep_checkpoint(newest)
                if watch.hangs(news=any(fresh)):
                    self._end_hang(child, watch)
                time.sleep(RELAY)
            elif not any(fresh) and not any(waiting):
                return code

    def _end_hang(self, child: Child, watch: vitals.Watch) -> None:
        """A child that was only halted goes on; another one says where it hangs, and is ended."""
        if vitals.wake(child):
            watch.begin_again()
            self.keeper.write(partial(runs.tell, lease=self.lease, event=rules.HALTED))
            return
        self.hang = watch.in_words()
        vitals.dump_stacks(child)
        child.stop(grace=0)

    def _relay(self, metrics: list[JsonObject], samples: list[JsonObject]) -> bool:
        """Whether it could be written; while the database is away, it is tried again."""
        try:
            with transaction() as session:
                runs.record(session, lease=self.lease, metrics=metrics, samples=samples)
        except OperationalError as error:
            log.warning("metrics wait for the database", error=str(error.orig))
            time.sleep(RELAY)
            return False
        return True

    def _newest_checkpoint(self) -> int:
        return max(checkpoint_steps(self.output), default=0)

    def _keep_checkpoint(self, step: int) -> None:
        """Store this checkpoint of the child, so that any worker can resume."""
        if step <= max(self.saved_step, self.unsaved_step):
            return
        path = f"{self.home}/saved/attempt-{self.lease.attempt}-step-{step}"
        source = self.output / "checkpoints" / f"step-{step}"
        try:
            with artifacts.workspace() as space:
                copy_tree(source, space / "copy")
                stored = artifacts.put_folder(space / "copy", to=path)
        except (OSError, AppError) as error:
            self.keeper.discard(path)
            if source.exists():  # else the child has removed it for a newer one, which comes next
                self._tell_unsaved(step, error)
            return
        end = partial(runs.save, step=step, path=path, sha256=artifacts.folder_digest(stored))
        with self.keeper.registering(path):
            before = self.keeper.write(partial(end, lease=self.lease))
        self.saved_step = step
        for old in before:
            self.keeper.discard(old)

    def _tell_unsaved(self, step: int, error: Exception) -> None:
        """The training goes on; what would be lost with its worker is told, once per step."""
        self.unsaved_step = step
        log.warning("a checkpoint could not be stored", run=str(self.lease.id), error=str(error))
        why = "there is no room in the artifact store" if troubles.is_full(error) else str(error)
        message = f"Step {step} could not be stored ({why}): it would go on from {self.saved_step}."
        self.keeper.write(partial(runs.tell, lease=self.lease, event=message))

    # -- the end ------------------------------------------------------------------------------

    def _conclude(self, end: "Ending") -> None:
        """How the child ended as the state of the run."""
        stop = self.pulse.stop
        if stop is Stop.LOST:
            raise LeaseLost(self.lease)
        if end.code == 0:
            self._succeed()
            return
        self._keep_checkpoint(self._newest_checkpoint())
        if stop is not None:
            self._stop(stop)
        elif end.left_alone:
            self.keeper.write(partial(runs.release, lease=self.lease, reason=rules.OUT_OF_TOUCH))
        elif self.hang:
            self._retry("hung", self.hang, rules.HUNG)
        elif end.code == STOPPED:
            self._fail("The training was stopped from outside. Resume the run to go on.")
        elif end.signal is not None and not end.for_memory:
            self._retry("killed", end.in_words(), rules.KILLED)
        elif end.signal is not None:
            self._fail(end.in_words())
        else:
            result = read_json(self.output / "result.json")  # a launcher has a code of its own
            self._fail(rules.failure(int(result.get("exit_code") or end.code), self._last_words()))

    def _stop(self, stop: Stop) -> None:
        """End before the work does, as somebody wished."""
        if stop is Stop.CANCEL:
            path = self._keep_files()
            with self.keeper.registering(path):
                self.keeper.write(partial(runs.cancelled, lease=self.lease, path=path))
        else:
            self.keeper.write(
                partial(runs.release, lease=self.lease, reason="The worker was stopped.")
            )

    def _retry(self, kind: str, what: str, advice: str) -> None:
        """Go on from the last saved step, or fail with the log where that went wrong too often."""
        words = "\n".join(self._last_words())
        path = self._keep_files()
        retry = partial(runs.retry, kind=kind, what=what, advice=advice, path=path, log=words)
        with self.keeper.registering(path):
            self.keeper.write(partial(retry, lease=self.lease))

    def _succeed(self) -> None:
        model = self.output / "model"
        if not model.is_dir() or not any(model.iterdir()):
            self._fail("The training ended without a model. Look at the log, then resume the run.")
            return
        result = read_json(self.output / "result.json")
        cards.complete(self.lease.id, model)
        stored = self._put_when_there_is_room()
        if stored is None:
            self._stop(self.pulse.stop or Stop.SHUTDOWN)
            return
        files = [
            artifacts.StoredFile(file.path.removeprefix("model/"), file.bytes, file.sha256)
            for file in stored
            if file.path.startswith("model/")
        ]
        end = partial(runs.succeed, path=self.stored, files=files, result=result)
        with self.keeper.registering(self.stored):
            self.keeper.write(partial(end, lease=self.lease))
        self.keeper.discard(f"{self.home}/saved")

    def _put_when_there_is_room(self) -> list[artifacts.StoredFile] | None:
        """Store the run folder. A full store is waited for: the model is nowhere else.

        None where somebody wants this attempt to end meanwhile.
        """
        deadline = time.monotonic() + ROOM
        while True:
            try:
                return self._put()
            except OSError as error:
                self.keeper.discard(self.stored)
                if not troubles.is_full(error) or time.monotonic() > deadline:
                    raise
                log.warning("no room for the model", run=str(self.lease.id), error=str(error))
            self.keeper.write(partial(runs.tell, lease=self.lease, activity=rules.NO_ROOM))
            until = time.monotonic() + AGAIN
            while time.monotonic() < until:
                if self.pulse.stop is Stop.LOST:
                    raise LeaseLost(self.lease)
                if self.pulse.stop is not None:
                    return None
                time.sleep(RELAY)

    def _fail(self, error: str) -> None:
        words = "\n".join(self._last_words())
        path = self._keep_files()
        with self.keeper.registering(path):
            self.keeper.write(
                partial(runs.fail, lease=self.lease, error=error, path=path, log=words)
            )

    def _last_words(self) -> list[str]:
        """The log's last lines; the reason the trainer noted comes last."""
        words = tail_of(self.log, 40)
        reason = str(read_json(self.output / "result.json").get("error") or "")
        return [*words, reason] if reason and reason not in words[-1:] else words

    def _keep_files(self) -> str | None:
        """Store curves, texts and log of an attempt that has no model; where they are."""
        shutil.rmtree(self.output / "model", ignore_errors=True)
        try:
            self._put()
        except (OSError, AppError) as error:
            log.warning("could not keep the files of the attempt", error=str(error))
            self.keeper.discard(self.stored)
            return None
        return self.stored

    def _put(self) -> list[artifacts.StoredFile]:
        self.output.mkdir(exist_ok=True)
        shutil.rmtree(self.output / "checkpoints", ignore_errors=True)
        if self.log.is_file():
            shutil.copy(self.log, self.output / "log.txt")
        return artifacts.put_folder(self.output, to=self.stored)
