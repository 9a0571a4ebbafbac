"""The trainer against TRL, step by step: `python -m tests.parity [--store] [--only DPO]`.

The same tiny model, data, order and settings on both sides, in 32 bit; losses of 20 steps must
agree to 1e-4 (relative), and the gradients of the first step must point the same way. PPO is
compared with the last TRL that has it, on the same responses. TRL lives in environments of its own
(.venv-trl, .venv-trl-ppo), which are made on first use. Prints a table; ends with 1 and names the
worst step where something differs. `--store` writes TRL's losses to stored.json, for the suite.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from app.trainer.running import quiet
from tests.parity import cases, ours
from tests.parity.environment import (
    TRL,
    TRL_WITH_PPO,
    NoEnvironment,
    environment,
    python_with,
)
from tests.parity.world import write_world

STORED = Path(__file__).with_name("stored.json")
TOLERANCE, COSINE = 1e-4, 0.9999


def theirs(python: Path, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run TRL's side on a job."""
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("theirs.py")
    done = subprocess.run(
        [python, script, folder / "job.json"],
        env=environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"TRL's side failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads((folder / "theirs.json").read_text())
    return found


def worst_of(one: Sequence[float], other: Sequence[float]) -> tuple[float, int]:
    """The largest relative difference and its step; a value near 0 is measured by the mean size."""
    usual = sum(map(abs, other)) / len(other) or 1.0
    pairs = enumerate(zip(one, other, strict=True), 1)
    return max((abs(a - b) / max(abs(b), usual), step) for step, (a, b) in pairs)


def compare_losses(world: Path, home: Path, chosen: Sequence[cases.Case]) -> tuple[dict, list[str]]:
    """Print a line per case → TRL's answer, and what differs."""
    job = {"world": str(world), "cases": [as_job(case) for case in chosen]}
    answer = theirs(python_with(TRL), job, home / "theirs")
    print(versions(answer))
    titles = (
        f"{'steps':>6}{'loss first → last':>22}{'worst apart':>13}{'at':>4}{'gradient cosine':>18}"
    )
    print(f"\n  {'':24}{titles}")
    wrong = []
    for case in chosen:
        with ours.first_gradient() as gradient:
            metrics = ours.train(
                case.kind, world, home / case.name, start=case.start, config=case.config,
                settings=cases.COMMON | case.ours,
            )  # fmt: skip
        mine, other = [row["loss"] for row in metrics], answer["losses"][case.name]
        worst, step = worst_of(mine, other)
        alike = ours.cosine(gradient, load_file(home / "theirs" / f"{case.name}.safetensors"))
        print(
            f"  {case.name:24}{len(mine):6}{other[0]:12.4f} →{other[-1]:8.4f}"
            f"{worst:13.1e}{step:4}{alike:18.9f}"
        )
        if worst > TOLERANCE:
            wrong.append(
                f"{case.name}: step {step} has loss {mine[step - 1]:.7g}, "
                f"TRL's {other[step - 1]:.7g}."
            )
        if alike < COSINE:
            wrong.append(f"{case.name}: the first gradients have a cosine of {alike:.7f}.")
    return answer, wrong


def as_job(case: cases.Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "trainer": case.trainer,
        "config": case.config,
        "start": case.start,
        "settings": cases.COMMON_THEIRS | case.theirs,
    }


def compare_ppo(world: Path, home: Path) -> list[str]:
    """The same for PPO, figure by figure."""
    python = python_with(TRL_WITH_PPO)
    with ours.responses() as said:
        metrics = ours.train(
            "ppo", world, home / "ppo", start="model", config="prompts",
            settings=cases.PPO_OURS | {"reward_model_path": world / "judge"},
        )  # fmt: skip
    job = {"world": str(world), "responses": said, "settings": cases.PPO_THEIRS}
    answer = theirs(python, job, home / "theirs-ppo")
    ended = sum(row["val/num_eos_tokens"] for row in metrics)
    print(f"\n{versions(answer)}")
    print(
        f"PPO: {len(metrics)} updates, {sum(map(len, said))} responses, {ended:.0f} of them ended\n"
    )
    wrong = []
    for name in cases.PPO_FIGURES:
        mine = [row[name] for row in metrics]
        other = [row[name] for row in answer["ppo"]]
        worst, step = worst_of(mine, other)
        print(f"  {name:30}{other[0]:12.5f} →{other[-1]:10.5f}{worst:13.1e}{step:4}")
        if worst > TOLERANCE:
            wrong.append(
                f"PPO: update {step} has {name} = {mine[step - 1]:.7g}, "
                f"TRL's {other[step - 1]:.7g}."
            )
    return wrong


def versions(answer: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in answer["versions"].items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", action="store_true", help="write stored.json")
    parser.add_argument("--only", default="", help="cases with this in their name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    chosen = [case for case in cases.CASES if options.only.lower() in case.name.lower()]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        home, world = Path(folder), Path(folder) / "world"
        made = write_world(world)
        try:
            if chosen:
                answer, wrong = compare_losses(world, home, chosen)
            if options.only.lower() in "ppo":
                wrong += compare_ppo(world, home)
        except NoEnvironment as error:
            print(error, file=sys.stderr)
            return 2
    if options.store and len(chosen) == len(cases.CASES) and not wrong:
        losses = {name: [float(f"{v:.8g}") for v in row] for name, row in answer["losses"].items()}
        stored = {"world": made, "versions": answer["versions"], "losses": losses}
        STORED.write_text(json.dumps(stored, indent=1) + "\n")
        print(f"\nwrote {STORED.name}")
    print("\n" + ("\n".join(wrong) or f"Equal to {TOLERANCE:g} at every step."))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
