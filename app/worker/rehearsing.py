"""The rehearsal of a run: the trainer's own dry run as a child, on a lane of its own.

A lane of its own, so that it waits for no training of hours; one at a time, and beside a training
only where the machine has room for both, so that a look at a new run never costs one that runs.
"""

import json
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import structlog
from procrastinate import JobContext
from sqlalchemy.orm import Session

from app.config import settings
from app.datasets.models import Snapshot
from app.db import JsonObject, database_now, transaction
from app.errors import AppError, LeaseLost
from app.jobs import JobName, Lane, queue
from app.runs import rules
from app.runs.models import RunCheck
from app.runs.service import Lease, checks
from app.worker.folders import work_folder
from app.worker.inputs import (
    ModelSource,
    Plan,
    corpus_of,
    fetched,
    materialised,
    model_source,
    registered,
    settings_file,
)
from app.worker.lease import GRACE, RELAY, Pulse, Stop
from app.worker.process import LEASH, TRAINER, tail_of, train_command

log = structlog.get_logger(__name__)

NEW_STEPS = 4  # updates of a new model whose time tells that of all
ROOM = 1 << 30  # bytes that a rehearsal needs beside four times the weights (they, gradients, Adam)


@queue.task(name=JobName.CHECK_RUN, queue=Lane.CHECK, pass_context=True)
def check_run(context: JobContext, *, check_id: str) -> None:
    rehearse_run(UUID(check_id), stopping=context.additional_context["stopping"])


def rehearse_run(check_id: UUID, *, stopping: threading.Event) -> None:
    """Rehearse what is asked for and write down what was found."""
    with transaction() as session:
        lease = checks.start_check(session, check_id=check_id)
        plan = check_plan(session, check_id=check_id) if lease else None
    if lease is None or plan is None:
        return
    try:
        with (
            Pulse(partial(checks.hold_check, lease=lease), stopping=stopping) as pulse,
            work_folder("checks", lease) as folder,
        ):
            Rehearsal(lease, plan, folder, pulse).carry_out()
    except LeaseLost:
        log.info("nobody waits for the rehearsal any more", check=str(check_id))


def expire_checks() -> int:
    """Throw away old rehearsals; how many."""
    with transaction() as session:
        return checks.delete_old_checks(session, now=database_now(session))


def check_plan(session: Session, *, check_id: UUID) -> Plan:
    check = session.get_one(RunCheck, check_id)
    snapshot = session.get_one(Snapshot, check.snapshot_id)
    return Plan(
        kind=check.kind.value,
        config=check.config,
        dataset=ModelSource(snapshot.path or "", registered(snapshot.files)),
        base=check.base,
        parent=model_source(session, checkpoint_id=check.parent_checkpoint_id),
        reward=model_source(session, checkpoint_id=check.reward_checkpoint_id),
        saved=[],
        device=None,
    )


class Refused(Exception):
    """The run cannot be; the sentence is for people. `field` of the form has to change."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


class Rehearsal:
    """One try of a rehearsal."""

    def __init__(self, lease: Lease, plan: Plan, folder: Path, pulse: Pulse) -> None:
        self.lease, self.plan, self.folder, self.pulse = lease, plan, folder, pulse
        self.log = folder / "log.txt"
        self.busy = trainings_here()
        self.making = 0.0  # seconds that a new model will take

    def carry_out(self) -> None:
        try:
            with ExitStack() as stack:
                report = self._rehearse(stack)
        except LeaseLost:
            raise
        except Refused as refused:
            self._end(partial(checks.fail_check, error=str(refused), field=refused.field))
        except (AppError, OSError) as error:
            sentence = getattr(error, "detail", "") or f"Its files could not be read: {error}."
            self._end(partial(checks.fail_check, error=sentence, field="snapshot_id"))
        except Exception as error:
            log.exception("rehearsal failed unexpectedly", check=str(self.lease.id))
            sentence = f"The worker could not rehearse it ({type(error).__name__}: {error})."
            self._end(partial(checks.fail_check, error=sentence, field=""))
        else:
            if report is None:
                self._end(checks.release_check)
            else:
                self._end(partial(checks.finish_check, report=report))

    def _rehearse(self, stack: ExitStack) -> JsonObject | None:
        """What the trainer reports; None where this worker stops first."""
        dataset = stack.enter_context(fetched(self.plan.dataset))
        model = self._model(stack, dataset)
        if model is None:
            return None
        file = settings_file(stack, self.plan, self.folder)
        self._make_sure_of_room(model)
        self._tell("Training a few updates to see what they take")
        code = self._run([
            *(*train_command(), self.plan.kind, "--check"),
            *("--dataset", str(dataset), "--model", model, "--config", str(file)),
            *("--device", settings.train_device),
        ])  # fmt: skip
        if code is None:
            return None
        found = report_in(self.folder / "said.txt")
        if code != 0 or not found.get("ok"):
            raise self._refusal(code, str(found.get("error") or ""))
        found["seconds"]["making"] = round(self.making, 1)
        found["seconds"]["total"] += self.making
        return found | {"beside": self.busy}

    def _model(self, stack: ExitStack, dataset: Path) -> str | None:
        """The folder or hub id of the base; a new one is made as far as the rehearsal needs it."""
        if self.plan.parent is not None:
            return str(stack.enter_context(materialised(self.plan.parent)))
        if "model" in self.plan.base:
            return str(self.plan.base["model"])
        size, made, corpus = str(self.plan.base["new"]), self.folder / "base", corpus_of(dataset)
        if not corpus:
            raise Refused("The snapshot has no texts to make a model from.", "snapshot_id")
        self._tell("Making a new language model, as far as it is needed to try")
        times: dict[int, float] = {}
        code = self._run(
            [
                *(*TRAINER, "new", "--size", size, "--steps", str(NEW_STEPS)),
                *("--output", str(made), "--device", settings.train_device),
                *("--corpus", *map(str, corpus)),
            ],
            times=times,
        )
        if code is None:
            return None
        if code != 0:
            raise self._refusal(code, "")
        steps = rules.new_model_steps(size, corpus_bytes=sum(f.stat().st_size for f in corpus))
        self.making = rules.time_of_steps(times, steps=steps)
        return str(made)

    def _run(self, command: list[str], *, times: dict[int, float] | None = None) -> int | None:
        """The exit code of a child; None where this worker stops first."""
        said = self.folder / "said.txt"
        with self.pulse.child(command, log=self.log, output=said) as child:
            while (code := child.poll()) is None:
                if (stop := self.pulse.stop) is not None:
                    child.stop(grace=GRACE[Stop.LOST])  # there is nothing to save
                    if stop is Stop.LOST:
                        raise LeaseLost(self.lease)
                    return None
                if times is not None and (step := rules.new_model_step(tail_of(self.log, 3))):
                    times.setdefault(step, time.monotonic())
                time.sleep(RELAY / 5)
        return code

    def _make_sure_of_room(self, model: str) -> None:
        """Leave a training that runs on this machine alone where there is no room for both."""
        if not self.busy:
            return
        weights = sum(file.stat().st_size for file in Path(model).glob("*.safetensors"))
        free = psutil.virtual_memory().available
        if free < 4 * weights + ROOM:
            raise Refused(
                "The worker is busy and has no room for a second model beside the one at work "
                f"({free / 1e9:.1f} GB are free). Check it again later, or start the run: it waits "
                "its turn."
            )

    def _refusal(self, code: int, said: str) -> Refused:
        words = [*tail_of(self.log, 20), *([said] if said else [])]
        sentence = rules.refusal(code, words)
        if self.busy and code == 3:
            sentence += " Another model was at work on the same machine: without it, it may fit."
        return Refused(sentence, rules.field_of(sentence, self.plan.config, self.plan.base))

    def _tell(self, activity: str) -> None:
        self._end(partial(checks.hold_check, activity=activity))

    def _end(self, write: Any) -> None:
        with transaction() as session:
            write(session, lease=self.lease)


def trainings_here() -> int:
    """Children of this worker that train or write: of other jobs, for this one has none yet."""
    found = 0
    for child in psutil.Process().children():
        try:
            found += str(LEASH) in child.cmdline()
        except psutil.Error:
            continue  # gone meanwhile
    return found


def report_in(said: Path) -> dict[str, Any]:
    """The report among what the trainer said: its last line that is one."""
    for line in reversed(tail_of(said, 50)):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "ok" in found:
            return found
    return {}
