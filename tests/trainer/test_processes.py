"""Two processes train what one would: the same figures, from the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["dpo", "ppo"])
def test_two_processes_log_the_figures_of_one(
    kind: str, train, data: Path, micro: str, judge: str, tmp_path: Path
) -> None:
    given = {"max_steps": 2, "num_samples": 1, "learning_rate": 1e-3, "max_eval_samples": 4}
    given |= {"dpo": {"max_new_tokens": 4}, "ppo": {}}[kind]
    if kind == "ppo":
        given |= {"reward_model_path": judge, "response_length": 6, "num_ppo_epochs": 2}
    alone = train(kind, per_device_train_batch_size=6, **given)
    assert alone.code == 0, alone.err
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "app.trainer", kind, "--dataset", str(data), "--model", micro]
    command += ["--output", str(tmp_path / "two"), "--set", "per_device_train_batch_size=3"]
    command += [part for k, v in given.items() for part in ("--set", f"{k}={v}")]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, check=False, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    together = type(alone)(0, tmp_path / "two", "", "")
    for a, b in zip(alone.figures(), together.figures(), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=2e-5)
    assert together.result["state"] == "succeeded"
