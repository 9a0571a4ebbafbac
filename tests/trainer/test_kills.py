"""Kill −9 at any write, then `--resume`: the same figures, texts and weights as an unbroken run.

TOUCHSTONE_KILLS=30 tries so many runs of each kind, which are killed up to three times, and takes
long: give pytest `-o faulthandler_timeout=0`. The suite kills one of each kind once. The moments
are drawn from TOUCHSTONE_KILL_SEED.
"""

import contextlib
import json
import os
import random
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.trainer.run_folder.files import discard, keep_upto, replaced, tidy
from tests.trainer.killing import NEVER, run

RUNS = int(os.environ.get("TOUCHSTONE_KILLS", "1"))
SEED = int(os.environ.get("TOUCHSTONE_KILL_SEED", "3"))
SHORT = {"max_steps": 3, "save_steps": 1, "eval_steps": 2, "num_samples": 1, "learning_rate": 1e-3}
PPO = {"response_length": 6, "per_device_train_batch_size": 4, "num_ppo_epochs": 1}
KINDS = {
    "sft": {"max_new_tokens": 3},
    "reward": {},
    "dpo": {"max_new_tokens": 3},
    "kto": {"max_new_tokens": 3, "loss_type": "kto"},
    "ppo": PPO,
    "ppo shared": PPO | {"value_model": "shared", "kl_target": 1},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    name: str, data: Path, micro: str, judge: str, tmp_path: Path
) -> None:
    kind = "dpo" if name == "kto" else name.split(maxsplit=1)[0]
    given = SHORT | KINDS[name] | ({"reward_model_path": judge} if kind == "ppo" else {})
    settings = [part for k, v in given.items() for part in ("--set", f"{k}={v}")]

    def train(output: Path, *, until: int = NEVER) -> int:
        folders = ["--dataset", str(data), "--model", micro, "--output", str(output)]
        resume = ["--resume"] if (output / "config.json").is_file() else []
        return run([kind, *folders, *settings, *resume], output, until=until)

    whole = tmp_path / "whole"
    writes = train(whole)
    assert writes > 30, writes
    rng = random.Random(f"{SEED} {name}")
    for number in range(RUNS):
        broken, moments = tmp_path / f"broken-{number}", []
        for _ in range(1 if RUNS == 1 else 3):
            moments.append(rng.randint(2, writes))
            code = train(broken, until=moments[-1])
            if code > 0:  # it had less left to do than that
                break
            assert code == -signal.SIGKILL, moments
        else:
            assert train(broken) > 0, moments
        for file in ("metrics.jsonl", "samples.jsonl"):
            assert figures(broken / file) == figures(whole / file), (file, moments)
        one, other = weights(whole), weights(broken)
        assert all(torch.equal(one[key], other[key]) for key in one), moments
        leftovers = [p for p in broken.rglob(".*") if p.name.endswith((".partial", ".old"))]
        assert not leftovers, moments


def figures(file: Path) -> list[dict]:
    """Its lines, but for what depends on the clock."""
    rows = [json.loads(line) for line in file.read_bytes().split(b"\n") if line]
    return [{k: v for k, v in r.items() if k not in ("time", "tokens_per_second")} for r in rows]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


class TestFiles:
    def test_a_last_line_cut_anywhere_is_dropped(self, tmp_path: Path) -> None:
        """Also inside a character, and none of what Unicode calls line ends cuts a line."""
        rows = [{"step": n, "response": f"naïve \u2028 日本 \x85 {n}"} for n in (1, 2, 3)]
        lines = [(json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows]
        file = tmp_path / "samples.jsonl"
        for cut in range(len(lines[2])):
            file.write_bytes(lines[0] + lines[1] + lines[2][:cut])
            keep_upto(file, 3)
            assert file.read_bytes() == lines[0] + lines[1] + (
                lines[2] if cut == len(lines[2]) - 1 else b""
            )
        keep_upto(file, 1)
        assert file.read_bytes() == lines[0]

    @pytest.mark.parametrize("moment", range(4))
    def test_a_folder_that_is_replaced_is_the_old_or_the_new_one(
        self, moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Killed(BaseException):
            pass

        left = moment
        rename = Path.rename

        def dying(self: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return rename(self, target)

        folder = tmp_path / "step-1"
        folder.mkdir()
        (folder / "state").write_text("old")
        monkeypatch.setattr(Path, "rename", dying)
        try:
            with replaced(folder) as partial:
                (partial / "state").write_text("new")
            discard(folder)
        except Killed:
            pass
        monkeypatch.undo()
        tidy(tmp_path)
        found = [p.name for p in tmp_path.iterdir()]
        assert found == ([] if moment == 3 else ["step-1"])
        if found:
            assert (folder / "state").read_text() == ("new" if moment == 2 else "old")


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 64 kB: what a full disk looks like to whoever writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_fills_up_while_saving_costs_nothing_that_was_saved(train) -> None:
    given = {"save_steps": 2, "save_total_limit": 0, "lr_scheduler_type": "constant"}
    whole = train("sft", output="whole", max_steps=4, **given)
    assert train("sft", max_steps=2, **given).code == 0
    with small_files():
        full = train("sft", "--resume", max_steps=4, **given)
    assert full.code == 1
    assert full.err.startswith("The disk is full. Make room")
    assert [p.name for p in (full.folder / "checkpoints").iterdir()] == ["step-2"]
    resumed = train("sft", "--resume", max_steps=4, **given)
    assert resumed.code == 0, resumed.err
    assert resumed.figures()[2:] == whole.figures()[2:]
