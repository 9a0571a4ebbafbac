"""A dry run: the real training for a few updates, which keeps nothing and tells what it found.

Whatever would stop the run at its start stops here, and time and memory are measured instead of
guessed.
"""

import contextlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from app.run_config import RunConfig, total_steps
from app.trainer.optimization import unreached_peak
from app.trainer.run_folder import RunFolder

UPDATES, TEST_ROWS = 3, 32


class Enough(Exception):
    """The last update of the rehearsal is done."""


class Rehearsal(RunFolder):
    """A run folder that keeps nothing but what the report needs."""

    def plan(self, *, total_steps: int, steps_per_epoch: float, start: Mapping[str, str]) -> None:
        super().plan(total_steps=total_steps, steps_per_epoch=steps_per_epoch, start=start)
        self.planned = time.perf_counter()
        self.times: list[float] = []  # when each update had ended
        self.speeds: list[float] = []  # tokens per second of each update
        self.evaluating = 0.0  # seconds of the evaluation after the last update

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def warn(self, step: int, sentence: str) -> None:
        """What so short a run warns of need not be true of the whole one."""

    def eval_due(self, step: int) -> bool:
        self.times.append(time.perf_counter())
        return step == self.total_steps

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.step = step
        self.speeds.append(metrics["tokens_per_second"])
        self.check()
        if step == self.total_steps:
            self.evaluating = time.perf_counter() - self.times[-1]
            raise Enough

    def sample(self, step: int, rows: list[dict[str, Any]]) -> None:
        pass

    def save_due(self, step: int) -> bool:  # noqa: ARG002
        return False

    def save_checkpoint(self, step: int, write: Callable[[Path], None], state: Any) -> None:
        pass


def rehearse(
    config: RunConfig, kind: str, train: Callable[[RunConfig, RunFolder], None], *, main: bool
) -> dict[str, Any]:
    """Train for a few updates → what the whole run would be.

    Raises:
        Failure: whatever the run would have ended with so far.

    """
    rows = config.max_eval_samples or sys.maxsize
    fewer = config if kind == "ppo" else replace(config, max_eval_samples=min(rows, TEST_ROWS))
    updates = min(UPDATES, config.max_steps) if config.max_steps > 0 else UPDATES
    short = replace(fewer, max_steps=updates, num_samples=0, report_to="none")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="touchstone-check-") as place:
        folder = Rehearsal(Path(place), kind=kind, main=main)
        folder.open(short, {}, resume=False)
        with contextlib.suppress(Enough):
            train(short, folder)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    read = folder.extra["data"]["train"]
    rows = read["rows"] - sum(read["dropped"].values())
    steps = total_steps(config, rows, processes=processes)
    seconds = seconds_of(folder, config, steps, loading=folder.planned - began)
    return {
        "ok": True,
        "kind": kind,
        "data": folder.extra["data"],
        "notes": [*folder.notes, *filter(None, [unreached_peak(config, steps)])],
        "steps": steps,
        "steps_per_epoch": folder.steps_per_epoch,
        "tokens": round(steps * seconds["update"] * folder.speeds[-1]),
        "seconds": seconds,
        "memory": memory(),
    }


def seconds_of(
    folder: Rehearsal, config: RunConfig, steps: int, *, loading: float
) -> dict[str, float]:
    """Seconds of each part, and of the whole run if all updates are like those seen."""
    ends = [folder.planned, *folder.times]
    each = [later - before for before, later in pairwise(ends)]
    update = min(each[1:] or each)  # the first one warms up, and waits for the reference
    once = max(each[0] - update, 0.0)
    if folder.kind == "dpo":  # the reference reads every row that will be used
        epoch = folder.steps_per_epoch
        once *= min(steps, epoch) / min(len(each), epoch)
    test = folder.extra["data"]["test"]
    wanted = min(test.get("available", test["rows"]), config.max_eval_samples or sys.maxsize)
    evaluation = folder.evaluating * (wanted / test["rows"] if test["rows"] else 0.0)
    every = config.eval_steps or -(-steps // 5)
    total = loading + once + steps * update + -(-steps // every) * evaluation
    parts = {"loading": loading, "preparing": once, "update": update, "evaluation": evaluation}
    return {name: round(value, 4) for name, value in (parts | {"total": total}).items()}


def memory() -> dict[str, Any]:
    """The most memory used so far, and how much there is: of the GPU if one was used."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        _, there = torch.cuda.mem_get_info()
        return {"device": "cuda", "peak": torch.cuda.max_memory_allocated(), "total": there}
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"device": "cpu", "peak": peak, "total": there}
