"""What a training starts from: its data, its model, and where an earlier attempt had got to."""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from app import artifacts
from app.config import settings
from app.errors import AppError
from app.runs import rules
from app.runs import service as runs
from app.runs.service import Lease
from app.worker.inputs import (
    Plan,
    copy_tree,
    corpus_of,
    digest_of,
    fetched,
    materialised,
    settings_file,
)
from app.worker.keeper import Keeper
from app.worker.lease import GRACE, RELAY, Pulse
from app.worker.process import TRAINER, train_command


class Unusable(Exception):
    """Something the run needs cannot be had; the sentence is for people."""


class Beginning:
    """Brings all that the child reads to this machine."""

    def __init__(self, lease: Lease, plan: Plan, folder: Path, pulse: Pulse) -> None:
        self.lease, self.plan, self.folder, self.pulse = lease, plan, folder, pulse
        self.keeper = Keeper(lease, pulse)
        self.output = folder / "run"
        self.log = folder / "log.txt"
        self.saved_step = plan.saved[0]["step"] if plan.saved else 0
        self.home = f"runs/{lease.id}"  # of the run in the artifact store

    def command(self, stack: ExitStack) -> list[str] | None:
        """The child's command line, once all it reads is on this machine; None: stop first."""
        dataset = stack.enter_context(fetched(self.plan.dataset))
        model = self._model(stack, dataset)
        if model is None:
            return None
        file = settings_file(stack, self.plan, self.folder)
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
            self.keeper.write(partial(runs.fall_back, lease=self.lease, saved=left, why=why))
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
                    self.keeper.write(partial(runs.tell, lease=self.lease, activity=activity))
                    told = activity
                time.sleep(RELAY)
            if code != 0:
                raise Unusable(rules.failure(code, child.last_words()))
        path = f"{self.home}/base-{self.lease.attempt}"
        try:
            artifacts.put_folder(made, to=path)
        except OSError:
            self.keeper.discard(path)
            raise
        with self.keeper.registering(path):
            self.keeper.write(partial(runs.keep_base, lease=self.lease, path=path))
        return path
