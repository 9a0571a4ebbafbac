"""Two processes against one: `python -m tests.benchmarks.processes [--only dpo] [--rounds 3]`.

Every kind trains the same Llama on the same batches of 16 (see tests.benchmarks.trl), by one
process with one thread and by two with one thread each. Two free cores are wanted, and other work
on them shows: runs take turns, and of each step the least time of all rounds counts. Beside the
ratio of the clock stands that of CPU seconds, of two processes those of the busier one: what free
cores could reach, but for what waiting for messages takes. The last step also evaluates as many
rows as were learned from; its ratios stand apart. Start-up and two steps to warm up are left out.
Before that comes how evenly the tokens of a batch are split, for which no clock is needed.
Prints; asserts nothing. About five minutes.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from app.trainer.__main__ import main as trainer
from app.trainer.batches import Forward
from app.trainer.processes import shares
from app.trainer.run_folder import RunFolder
from tests.benchmarks.trainer import examples
from tests.benchmarks.trl import KINDS, SCALES, UNIT, write_world
from tests.parity.environment import HOME, environment

BATCH, WARM_UP = 16, 2
SETTINGS: dict[str, dict[str, Any]] = {
    "common": {
        "max_length": 1024, "shuffle": False, "num_samples": 0, "max_eval_samples": 0,
    },
    "dpo": {"monitor_action": "off"},
    "ppo": {"monitor_action": "off", "num_ppo_epochs": 4, "response_length": 53},
}  # fmt: skip


def child(job: dict[str, Any]) -> None:
    """One process: train, and note the time, the CPU seconds and the loss of every step."""
    torch.set_num_threads(1)
    log, notes = RunFolder.log, []

    def logging(self: RunFolder, step: int, metrics: Any) -> None:
        log(self, step, metrics)
        notes.append((time.perf_counter(), time.process_time(), float(metrics["loss"])))

    options = [part for k, v in job["settings"].items() for part in ("--set", f"{k}={v}")]
    folders = ["--dataset", job["data"], "--model", job["model"], "--output", job["output"]]
    with mock.patch.object(RunFolder, "log", logging):
        code = trainer([job["kind"], *folders, *options])
    Path(f"{job['output']}-{os.environ['RANK']}.json").write_text(json.dumps(notes))
    sys.exit(code)


def run(job: dict[str, Any], output: Path, processes: int) -> tuple[torch.Tensor, list[float]]:
    """Train once → wall and CPU seconds of each step, `(2, steps)`, and the losses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    size = {"per_device_train_batch_size": BATCH // processes}
    given = job | {"output": str(output), "settings": job["settings"] | size}
    command = [sys.executable, "-m", "tests.benchmarks.processes", "--child", json.dumps(given)]
    env = environment() | {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    members = [
        subprocess.Popen(
            command, env=env | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, cwd=HOME,
            stdout=subprocess.DEVNULL,
        )
        for rank in range(processes)
    ]  # fmt: skip
    codes = [member.wait() for member in members]
    if any(codes):
        raise SystemExit(f"{output.name} failed")
    notes = [json.loads(Path(f"{output}-{rank}.json").read_text()) for rank in range(processes)]
    shutil.rmtree(output)
    marks = torch.tensor(notes, dtype=torch.float64)  # (processes, steps, 3)
    return marks[..., :2].diff(dim=1).amax(0).T, marks[0, :, 2].tolist()


def compared(kind: str, world: Path, options: argparse.Namespace) -> None:
    """Print a line for one kind."""
    steps = WARM_UP + options.steps + 1
    settings = SETTINGS["common"] | SETTINGS.get(kind, {})
    settings |= {"dataset_config": KINDS[kind], "max_steps": steps, "eval_steps": steps}
    settings |= dict(pair.split("=", 1) for pair in options.set)
    if kind == "ppo":
        settings["reward_model_path"] = str(world / "judge")
    job = {"kind": kind, "data": str(world / "data"), "settings": settings}
    job["model"] = str(world / ("judge" if kind == "reward" else "model"))
    seconds: dict[int, list[torch.Tensor]] = {1: [], 2: []}
    losses = {}
    for turn in range(options.rounds):
        for processes, found in seconds.items():
            output = world.parent / f"{kind}-{processes}-{turn}"
            spent, losses[processes] = run(job, output, processes)
            found.append(spent)
    best = {n: torch.stack(found).amin(0)[:, WARM_UP - 1 :] for n, found in seconds.items()}
    learning = {n: spent[:, :-1].sum(1) for n, spent in best.items()}
    wall, cpu = (learning[1] / learning[2]).tolist()
    last = (best[1][:, -1] / best[2][:, -1]).tolist()
    rates = [BATCH * options.steps / float(learning[n][0]) for n in (1, 2)]
    print(
        f"  {kind:7}{rates[0]:8.2f} → {rates[1]:6.2f} {UNIT[kind]:9}/s {wall:7.2f}x {cpu:6.2f}x"
        f"   {last[0]:8.2f}x {last[1]:6.2f}x {apart(losses[1], losses[2]):12.1e}",
        flush=True,
    )


def evenness(rows: int = 1600) -> None:
    """How much faster two processes could be at best, by the tokens of the busier: no clock."""
    forward = Forward(packed=True, max_tokens=1024, bf16=False)
    costs = [forward.size(example) for example in examples(rows, 2)]
    print("  pairs in a batch, tokens of all over those of the busier: in turn, and as here")
    for size in (8, 16, 64):
        batches = [costs[start : start + size] for start in range(0, rows, size)]
        turns = sum(max(sum(batch[0::2]), sum(batch[1::2])) for batch in batches)
        even = sum(max(sum(batch[i] for i in own) for own in shares(batch, 2)) for batch in batches)
        print(f"  {size:7}{sum(costs) / turns:8.2f}x {sum(costs) / even:6.2f}x")


def apart(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference between losses, relative to their mean size."""
    usual = sum(map(abs, one)) / len(one)
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) / usual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", choices=KINDS, default=None)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
    if (cores := len(os.sched_getaffinity(0))) < 2:
        print(f"{cores} core: there is nothing to compare")
        return
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        write_world(world, SCALES["cpu"], (WARM_UP + options.steps + 1) * BATCH)
        for train in (world / "data").glob("*/train.jsonl.gz"):
            shutil.copy(train, train.with_name("test.jsonl.gz"))
        evenness()
        print(f"load of this machine before: {os.getloadavg()[0]:.1f} on {cores} cores")
        print(f"\n  {'':27}two of one: clock    CPU   evaluating: clock    CPU  losses apart")
        for kind in [options.only] if options.only else KINDS:
            compared(kind, world, options)


if __name__ == "__main__":
    main()
