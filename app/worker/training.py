"""One training: a child process, followed from its first line to the registered checkpoint."""

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
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
from app.worker.folders import work_folder
from app.worker.inputs import (
    Plan,
    checkpoint_steps,
    copy_tree,
    corpus_of,
    digest_of,
    fetched,
    materialised,
    plan_of,
    read_json,
)
from app.worker.lease import Pulse, Stop
from app.worker.process import TRAINER, Child, Lines, tail_of, train_command
from app.worker.resources import Watcher

log = structlog.get_logger(__name__)

RELAY = 0.5  # seconds between two looks at what the child wrote
GRACE = {Stop.CANCEL: 60.0, Stop.SHUTDOWN: 20.0, Stop.LOST: 5.0}  # for the child to save and end
PATIENCE = 60.0  # seconds for which the last write of an attempt waits for the database
ROOM = 3600.0  # seconds for which a finished model waits for room in the artifact store
AGAIN = 10.0  # seconds between two tries
STOPPED = 130  # exit code of a child that was asked to end

T = TypeVar("T")


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


class Unusable(Exception):
    """Something the run needs cannot be had; the sentence is for people."""


class Attempt:
    """One try of a run, from its inputs to its end."""

    def __init__(self, lease: Lease, plan: Plan, folder: Path, pulse: Pulse) -> None:
        self.lease, self.plan, self.folder, self.pulse = lease, plan, folder, pulse
        self.output = folder / "run"
        self.log = folder / "log.txt"
        self.saved_step = plan.saved[0]["step"] if plan.saved else 0
        self.unsaved_step = 0  # the last that could not be stored
        self.is_hung = False
        self.home = f"runs/{lease.id}"  # of the run in the artifact store
        self.stored = f"{self.home}/attempt-{lease.attempt}"

    def carry_out(self) -> None:
        ending: Ending | None = None
        try:
            with ExitStack() as stack:
                command = self._command(stack)
                if command is not None:
                    ending = self._train(command)
        except LeaseLost:
            raise
        except (Unusable, AppError) as error:
            self._fail(getattr(error, "detail", str(error)))
        except Exception as error:
            log.exception("training failed unexpectedly", run=str(self.lease.id))
            self._fail(troubles.in_words(error))
        else:
            self._conclude(ending or Ending(STOPPED))

    def _train(self, command: list[str]) -> "Ending":
        kills = machine_memory.oom_kills()
        with self.pulse.child(command, log=self.log) as child, self._watcher(child):
            code = self._follow(child)
        return Ending(code, peak=child.peak, oom=machine_memory.oom_kills() > kills)

    # -- inputs -------------------------------------------------------------------------------

    def _command(self, stack: ExitStack) -> list[str] | None:
        """The child's command line, once all it reads is on this machine; None: stop first."""
        dataset = stack.enter_context(fetched(self.plan.dataset))
        model = self._model(stack, dataset)
        if model is None:
            return None
        config = dict(self.plan.config)
        if self.plan.reward is not None:
            reward = stack.enter_context(materialised(self.plan.reward))
            config["reward_model_path"] = str(reward)
        file = self.folder / "settings.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        resumes = self._take_up()
        device = self.plan.device or settings.train_device
        return [
            *(*train_command(device), self.plan.kind),
            *("--dataset", str(dataset), "--model", model),
            *("--output", str(self.output), "--config", str(file)),
            *("--device", device),
            *(["--resume"] if resumes else []),
        ]

    def _take_up(self) -> bool:
        """Bring back the newest saved step that is what was stored; whether there is one."""
        left, why = list(self.plan.saved), ""
        while left:
            saved = left[0]
            target = self.output / "checkpoints" / f"step-{saved['step']}"
            try:
                with artifacts.local_folder(saved["path"]) as folder:
                    if saved.get("sha256") and digest_of(folder) != saved["sha256"]:
                        raise artifacts.Damaged(saved["path"])
                    copy_tree(folder, target)
                break
            except AppError as error:
                left = left[1:]
                go_on = f"goes on from step {left[0]['step']}" if left else "starts again"
                why = f"{why} {error.detail} So it {go_on}.".strip()
        if why:
            self._write(partial(runs.fall_back, lease=self.lease, saved=left, why=why))
            self.saved_step = left[0]["step"] if left else 0
        return bool(left)

    def _model(self, stack: ExitStack, dataset: Path) -> str | None:
        """The folder or hub id that the training starts from; None when it is to stop first."""
        if self.plan.parent is not None:
            return str(stack.enter_context(materialised(self.plan.parent)))
        if "model" in self.plan.base:
            return str(self.plan.base["model"])
        path = self.plan.base.get("path") or self._new_model(dataset)
        return None if path is None else str(stack.enter_context(artifacts.local_folder(path)))

    def _new_model(self, dataset: Path) -> str | None:
        """Make a model from the snapshot's texts and keep it: each attempt starts from the same."""
        made, size = self.folder / "base", str(self.plan.base["new"])
        corpus = corpus_of(dataset)
        steps = rules.new_model_steps(size, corpus_bytes=sum(f.stat().st_size for f in corpus))
        command = [
            *(*TRAINER, "new", "--size", size, "--steps", str(steps)),
            *("--output", str(made), "--device", settings.train_device),
            *("--corpus", *map(str, corpus)),
        ]
        told = ""
        with self.pulse.child(command, log=self.log) as child:
            while (code := child.poll()) is None:
                if (stop := self.pulse.stop) is not None:
                    child.stop(grace=GRACE[stop])
                    return None
                activity = rules.making_a_model(child.last_words())
                if activity != told:
                    self._write(partial(runs.tell, lease=self.lease, activity=activity))
                    told = activity
                time.sleep(RELAY)
            if code != 0:
                raise Unusable(rules.failure(code, child.last_words()))
        path = f"{self.home}/base-{self.lease.attempt}"
        artifacts.put_folder(made, to=path)
        self._write(partial(runs.keep_base, lease=self.lease, path=path))
        return path

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
            fresh = metrics.new(), samples.new()
            waiting = (waiting[0] + fresh[0], waiting[1] + fresh[1])
            if any(waiting) and self._relay(*waiting):
                waiting = ([], [])
            if code is None:
                self._keep_checkpoint()
                if watch.hangs(news=any(fresh)):
                    self._end_hang(child, watch)
                time.sleep(RELAY)
            elif not any(fresh) and not any(waiting):
                return code

    def _end_hang(self, child: Child, watch: vitals.Watch) -> None:
        """A child that was only halted goes on; another one says where it hangs, and is ended."""
        if vitals.wake(child):
            watch.begin_again()
            self._write(partial(runs.tell, lease=self.lease, event=rules.HALTED))
            return
        self.is_hung = True
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

    def _keep_checkpoint(self) -> None:
        """Store the newest complete checkpoint of the child, so that any worker can resume."""
        step = max(checkpoint_steps(self.output), default=0)
        if step <= max(self.saved_step, self.unsaved_step):
            return
        path = f"{self.home}/saved/attempt-{self.lease.attempt}-step-{step}"
        source = self.output / "checkpoints" / f"step-{step}"
        try:
            with artifacts.workspace() as space:
                copy_tree(source, space / "copy")
                stored = artifacts.put_folder(space / "copy", to=path)
        except (OSError, AppError) as error:
            self._discard(path)
            if source.exists():  # else the child has removed it for a newer one, which comes next
                self._tell_unsaved(step, error)
            return
        end = partial(runs.save, step=step, path=path, sha256=artifacts.folder_digest(stored))
        with self._registering(path):
            before = self._write(partial(end, lease=self.lease))
        self.saved_step = step
        for old in before:
            self._discard(old)

    def _tell_unsaved(self, step: int, error: Exception) -> None:
        """The training goes on; what would be lost with its worker is told, once per step."""
        self.unsaved_step = step
        log.warning("a checkpoint could not be stored", run=str(self.lease.id), error=str(error))
        why = "there is no room in the artifact store" if troubles.is_full(error) else str(error)
        message = f"Step {step} could not be stored ({why}): it would go on from {self.saved_step}."
        self._write(partial(runs.tell, lease=self.lease, event=message))

    # -- the end ------------------------------------------------------------------------------

    def _conclude(self, end: "Ending") -> None:
        """How the child ended as the state of the run."""
        stop = self.pulse.stop
        if stop is Stop.LOST:
            raise LeaseLost(self.lease)
        if end.code == 0:
            self._succeed()
            return
        self._keep_checkpoint()
        if stop is not None:
            self._stop(stop)
        elif self.is_hung:
            self._retry("hung", rules.hung(settings.hang_minutes), rules.HUNG)
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
            with self._registering(path):
                self._write(partial(runs.cancelled, lease=self.lease, path=path))
        else:
            self._write(partial(runs.release, lease=self.lease, reason="The worker was stopped."))

    def _retry(self, kind: str, what: str, advice: str) -> None:
        """Go on from the last saved step, or fail with the log where that went wrong too often."""
        words = "\n".join(self._last_words())
        path = self._keep_files()
        retry = partial(runs.retry, kind=kind, what=what, advice=advice, path=path, log=words)
        with self._registering(path):
            self._write(partial(retry, lease=self.lease))

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
        with self._registering(self.stored):
            self._write(partial(end, lease=self.lease))
        self._discard(f"{self.home}/saved")

    def _put_when_there_is_room(self) -> list[artifacts.StoredFile] | None:
        """Store the run folder. A full store is waited for: the model is nowhere else.

        None where somebody wants this attempt to end meanwhile.
        """
        deadline = time.monotonic() + ROOM
        while True:
            try:
                return self._put()
            except OSError as error:
                self._discard(self.stored)
                if not troubles.is_full(error) or time.monotonic() > deadline:
                    raise
                log.warning("no room for the model", run=str(self.lease.id), error=str(error))
            self._write(partial(runs.tell, lease=self.lease, activity=rules.NO_ROOM))
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
        with self._registering(path):
            self._write(partial(runs.fail, lease=self.lease, error=error, path=path, log=words))

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
            self._discard(self.stored)
            return None
        return self.stored

    def _put(self) -> list[artifacts.StoredFile]:
        self.output.mkdir(exist_ok=True)
        shutil.rmtree(self.output / "checkpoints", ignore_errors=True)
        if self.log.is_file():
            shutil.copy(self.log, self.output / "log.txt")
        return artifacts.put_folder(self.output, to=self.stored)

    @contextlib.contextmanager
    def _registering(self, path: str | None) -> Iterator[None]:
        """What a write would have registered goes when another attempt has the run by then."""
        try:
            yield
        except LeaseLost:
            if path is not None:
                self._discard(path)
            raise

    def _discard(self, path: str) -> None:
        with contextlib.suppress(OSError, AppError):
            artifacts.remove(path)

    def _write(self, write: Callable[..., T]) -> T:
        """One transaction that must not be missed: it waits for a database that is away."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with transaction() as session:
                    return write(session)
            except OperationalError:
                if time.monotonic() > deadline or self.pulse.stop is Stop.LOST:
                    raise LeaseLost(self.lease) from None
                time.sleep(1.0)
