"""Touchstone's side: `python -m tests.benchmarks.sides.ours JOB.json`."""

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers import LlamaConfig

from app.trainer.__main__ import main as trainer
from app.trainer.optimization import Updater
from app.trainer.ppo import updating
from app.trainer.run_folder import RunFolder
from tests.benchmarks.sides.turns import Turns
from tests.benchmarks.trainer import needed


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    turns = Turns(job["steps"])
    config = LlamaConfig.from_pretrained(job["model"])
    log, pieces, mini_batch = RunFolder.log, Updater.pieces, updating.mini_batch

    def logging(self: RunFolder, step: int, metrics: Any) -> None:
        log(self, step, metrics)
        turns.step_ended()

    def count(batch: Any) -> None:
        turns.more["needed"] = turns.more.get("needed", 0.0) + work(batch, config, job)

    def counting(self: Updater, batch: Any, forward: Any) -> Any:
        if job["kind"] != "ppo":
            count(batch)
        return pieces(self, batch, forward)

    def counting_mini(seen: Any, chosen: Any, *more: Any) -> Any:
        count([seen[i] for i in chosen])  # also where the passes over them were kept
        return mini_batch(seen, chosen, *more)

    options = [part for k, v in job["settings"].items() for part in ("--set", f"{k}={v}")]
    folders = ["--dataset", job["data"], "--model", job["model"], "--output", job["output"]]
    options += ["--device", job["device"]]
    with (
        mock.patch.object(RunFolder, "log", logging),
        mock.patch.object(Updater, "pieces", counting),
        mock.patch.object(updating, "mini_batch", counting_mini),
    ):
        sys.exit(trainer([job["kind"], *folders, *options]))


def work(batch: Any, config: LlamaConfig, job: dict[str, Any]) -> float:
    """Operations that no implementation can avoid, for what is done once per batch here."""
    if job["kind"] != "ppo":
        return needed(batch, config, head=job["kind"] != "reward")
    # A mini-batch trains policy and value; in four epochs each token is also written, and read by
    # reference, value and reward model once.
    policy, judge = (needed(batch, config, head=head) for head in (True, False))
    value = 0.0 if job["settings"].get("value_model") == "shared" else judge
    return policy + value + (2 * policy + value + judge) / 3 / 4


if __name__ == "__main__":
    main()
