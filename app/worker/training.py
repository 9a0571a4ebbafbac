"""One training: a child process, followed from its first line to the registered checkpoint."""

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from app.worker.inputs import (
    Plan,
    checkpoint_steps,
    copy_tree,
    corpus_of,
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
STOPPED = 130  # exit code of a child that was asked to end

T = TypeVar("T")


@queue.task(name=JobName.TRAIN, queue=Lane.TRAIN, pass_context=True)
def train(context: JobContext, *, run_id: str) -> None:
    train_run(UUID(run_id), stopping=context.additional_context["stopping"])


def train_run(run_id: UUID, *, stopping: threading.Event) -> None:
    """Take the run, train it in a child process, and end the attempt as the child did."""
    with transaction() as session:
        lease = runs.start(session, run_id=run_id)
        plan = plan_of(session, run_id=run_id) if lease else None
    if lease is None or plan is None:
        return  # cancelled meanwhile, or taken by somebody else
    try:
        with (
            Pulse(partial(runs.hold, lease=lease), stopping=stopping) as pulse,
            work_folder("runs", lease) as folder,
        ):
            Attempt(lease, plan, folder, pulse).carry_out()
    except LeaseLost:
        log.warning("another attempt has the run", run=str(run_id), attempt=lease.attempt)


@contextlib.contextmanager
def work_folder(kind: str, lease: Lease) -> Iterator[Path]:
    """A folder of this attempt's own, gone at its end: what counts is in the artifact store."""
    folder = settings.home_path / "work" / kind / str(lease.id) / f"attempt-{lease.attempt}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another attempt may have its folder beside
            folder.parent.rmdir()


class Unusable(Exception):
    """Something the run needs cannot be had; the sentence is for people."""


class Attempt:
    """One try of a run, from its inputs to its end."""

    def __init__(self, lease: Lease, plan: Plan, folder: Path, pulse: Pulse) -> None:
        self.lease, self.plan, self.folder, self.pulse = lease, plan, folder, pulse
        self.output = folder / "run"
        self.log = folder / "log.txt"
        self.saved_step = plan.saved_step or 0
        self.home = f"runs/{lease.id}"  # of the run in the artifact store
        self.stored = f"{self.home}/attempt-{lease.attempt}"

    def carry_out(self) -> None:
        try:
            with ExitStack() as stack:
                command = self._command(stack)
                code = STOPPED
                if command is not None:
                    with Child(command, log=self.log) as child, self._watcher(child):
                        code = self._follow(child)
        except LeaseLost:
            raise
        except (Unusable, AppError) as error:
            self._fail(getattr(error, "detail", str(error)))
        except Exception as error:
            log.exception("training failed unexpectedly", run=str(self.lease.id))
            self._fail(
                f"The worker could not carry the run out ({type(error).__name__}: {error}). Its "
                "log has the details; resume the run once the cause is gone."
            )
        else:
            self._conclude(code)

    # -- inputs -------------------------------------------------------------------------------

    def _command(self, stack: ExitStack) -> list[str] | None:
        """The child's command line, once all it reads is on this machine; None: stop first."""
        dataset = stack.enter_context(artifacts.local_folder(self.plan.dataset))
        model = self._model(stack, dataset)
        if model is None:
            return None
        config = dict(self.plan.config)
        if self.plan.reward is not None:
            reward = stack.enter_context(materialised(self.plan.reward))
            config["reward_model_path"] = str(reward)
        file = self.folder / "settings.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        if self.plan.saved_path is not None:
            saved = stack.enter_context(artifacts.local_folder(self.plan.saved_path))
            copy_tree(saved, self.output / "checkpoints" / f"step-{self.plan.saved_step}")
        return [
            *(*train_command(), self.plan.kind),
            *("--dataset", str(dataset), "--model", model),
            *("--output", str(self.output), "--config", str(file)),
            *("--device", settings.train_device),
            *(["--resume"] if self.plan.saved_path is not None else []),
        ]

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
        with Child(command, log=self.log) as child:
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
                time.sleep(RELAY)
            elif not any(fresh) and not any(waiting):
                return code

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
        if step <= self.saved_step:
            return
        path = f"{self.home}/saved/attempt-{self.lease.attempt}-step-{step}"
        try:
            with artifacts.workspace() as space:
                copy_tree(self.output / "checkpoints" / f"step-{step}", space / "copy")
                artifacts.put_folder(space / "copy", to=path)
        except (FileNotFoundError, shutil.Error):
            return  # the child has removed it for a newer one, which comes next
        before = self._write(partial(runs.save, lease=self.lease, step=step, path=path))
        self.saved_step = step
        if before:
            artifacts.remove(before)

    # -- the end ------------------------------------------------------------------------------

    def _conclude(self, code: int) -> None:
        """The child's exit code as the state of the run."""
        stop = self.pulse.stop
        if stop is Stop.LOST:
            raise LeaseLost(self.lease)
        if code == 0:
            self._succeed()
            return
        self._keep_checkpoint()
        if stop is Stop.CANCEL:
            self._write(partial(runs.cancelled, lease=self.lease, path=self._keep_files()))
        elif stop is Stop.SHUTDOWN:
            self._write(partial(runs.release, lease=self.lease, reason="The worker was stopped."))
        elif code == STOPPED:
            self._fail("The training was stopped from outside. Resume the run to go on.")
        else:
            self._fail(rules.failure(code, self._last_words()))

    def _succeed(self) -> None:
        model = self.output / "model"
        if not model.is_dir() or not any(model.iterdir()):
            self._fail("The training ended without a model. Look at the log, then resume the run.")
            return
        result = read_json(self.output / "result.json")
        files = [
            artifacts.StoredFile(file.path.removeprefix("model/"), file.bytes, file.sha256)
            for file in self._put()
            if file.path.startswith("model/")
        ]
        end = partial(runs.succeed, path=self.stored, files=files, result=result)
        try:
            self._write(partial(end, lease=self.lease))
        except LeaseLost:
            artifacts.remove(self.stored)  # nothing points to it
            raise
        with contextlib.suppress(OSError, AppError):
            artifacts.remove(f"{self.home}/saved")

    def _fail(self, error: str) -> None:
        words = "\n".join(self._last_words())
        end = partial(runs.fail, error=error, path=self._keep_files(), log=words)
        self._write(partial(end, lease=self.lease))

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
            return None
        return self.stored

    def _put(self) -> list[artifacts.StoredFile]:
        self.output.mkdir(exist_ok=True)
        shutil.rmtree(self.output / "checkpoints", ignore_errors=True)
        if self.log.is_file():
            shutil.copy(self.log, self.output / "log.txt")
        return artifacts.put_folder(self.output, to=self.stored)

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
