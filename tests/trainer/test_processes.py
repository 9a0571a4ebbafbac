"""Several processes train what one would: the same figures, from the same global batch."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from app.trainer.__main__ import main
from app.trainer.batches import Example, Forward
from app.trainer.dataset import Row
from app.trainer.ppo import Play
from app.trainer.processes import read, shares, start_processes
from app.trainer.run_folder import RunFolder
from tests import forks
from tests.trainer import manners, processes
from tests.trainer.processes import FSDP, Team, start

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    Example(Row(f"row {n}", ()), (1,) * n, ((2,) * (60 if n == 7 else 3),)) for n in range(1, 8)
]
WAYS = {"ddp": {}, "fsdp2": FSDP}
KINDS = ["sft", "reward", "dpo", "ppo"]


@pytest.fixture
def together(tmp_path: Path, data: Path, micro: str) -> Callable[..., Team]:
    """Begin a training by two processes: `together("sft", max_steps=3)`."""

    def begin(
        kind: str,
        *options: str,
        env: dict[str, str],
        dataset: Path = data,
        output: str = "two",
        what: Callable[[list[str]], None] = processes.train,
        **settings: Any,
    ) -> Team:
        pairs = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
        command = [kind, "--dataset", str(dataset), "--model", micro, *pairs, *options]
        return start(command, tmp_path / output, what=what, **env)

    return begin


def _die(command: list[str]) -> None:
    """A training of which one process is killed between two updates."""
    log = RunFolder.log

    def dying(folder: RunFolder, step: int, metrics: Any) -> None:
        log(folder, step, metrics)
        if step == 2 and os.environ["RANK"] == os.environ["VICTIM"]:
            os.kill(os.getpid(), signal.SIGKILL)

    RunFolder.log = dying
    raise SystemExit(main(command))


@pytest.fixture
def settings(judge: str) -> dict[str, dict]:
    """Quick settings of each kind."""
    every = {"max_steps": 2, "eval_steps": 2, "num_samples": 0, "max_eval_samples": 4}
    every |= {"learning_rate": 1e-3, "group_by_length": False}
    ppo = {"reward_model_path": judge, "response_length": 6, "num_ppo_epochs": 2}
    return {
        "sft": every | {"num_samples": 1, "max_new_tokens": 4},
        "reward": every | {"lora_r": 4},
        "dpo": every | {"max_new_tokens": 4},
        "ppo": every | ppo,
    }


def same(one: list[dict], other: list[dict]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=2e-5)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next((folder / "model").glob("*.safetensors")))


def test_work_is_split_evenly_and_each_part_is_somebodys() -> None:
    costs = [9.0, 1.0, 1.0, 8.0, 2.0, 7.0]
    assert shares(costs, 1) == [[0, 1, 2, 3, 4, 5]]
    split = shares(costs, 2)
    assert sorted(place for own in split for place in own) == [0, 1, 2, 3, 4, 5]
    assert [sum(costs[i] for i in own) for own in split] == [13, 15]
    assert shares([5.0], 3) == [[0], [], []]
    assert shares([], 2) == [[], []]


def _read(folder: Path) -> None:
    """Notes who read what, and what everybody then knew."""
    accelerator, seen, asked = start_processes(torch.device("cpu")), [], []

    def sizes(examples: list[Example]) -> list[torch.Tensor]:
        seen.append([len(example.prompt) for example in examples])
        return [torch.tensor([len(example.prompt)]) for example in examples]

    forward = Forward(packed=True, max_tokens=16, bf16=False)
    every = [
        torch.cat(read(accelerator, rows, forward, sizes, check=lambda: asked.append(1))).tolist()
        for rows in (EXAMPLES, EXAMPLES[:1])
    ]
    known = {"seen": seen, "asked": len(asked), "every": every}
    (folder / f"{accelerator.process_index}.json").write_text(json.dumps(known))
    accelerator.end_training()


def test_each_process_reads_its_share_in_as_many_passes(tmp_path: Path) -> None:
    team = processes.together(_read, tmp_path, tmp_path)
    assert team.wait() == [0, 0], team.errors
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["every"] == second["every"] == [[1, 2, 3, 4, 5, 6, 7], [1]]
    assert len(first["seen"]) == len(second["seen"]) == first["asked"] == second["asked"]
    assert first["seen"][0] == [7]  # as long as all others together
    assert 7 not in [n for group in second["seen"] for n in group]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_log_the_figures_of_one(kind: str, train, together, settings) -> None:
    """24 rows by 14: the second batch has 10; and so little in a pass that pieces are unequal."""
    given = settings[kind] | {"max_tokens_per_forward": 64}
    teams = [
        together(kind, env=env, output=way, per_device_train_batch_size=7, **given)
        for way, env in WAYS.items()
    ]
    alone = train(kind, per_device_train_batch_size=14, **given)
    assert alone.code == 0, alone.err
    for team in teams:
        assert team.wait() == [0, 0], team.errors
        same(alone.figures(), team.figures())
        assert (team.out(1), team.errors) == ("", "")
        assert team.result["state"] == "succeeded"
        one, two = weights_of(alone.folder), weights_of(team.folder)
        assert one.keys() == two.keys()
        assert all(torch.allclose(one[name], two[name], atol=2e-4) for name in one)


def _keep(command: list[str]) -> None:
    """A training that prints how many passes it kept of each batch."""
    measure = Play.measure

    def telling(play: Play, *given: Any, at: Any = None) -> Any:
        found = measure(play, *given, at=at)
        if at is not None:
            print("kept", len(play.kept), file=sys.stderr)
        return found

    Play.measure = telling
    raise SystemExit(main(command))


def test_each_process_learns_from_the_pass_that_measured_its_episodes(
    train, together, settings
) -> None:
    """Batches of 14 and 10 prompts, each process with answers of its own length."""
    team = together("ppo", env={}, what=_keep, per_device_train_batch_size=7, **settings["ppo"])
    given = settings["ppo"] | {"reuse_first_pass": False}
    alone = train("ppo", per_device_train_batch_size=14, **given)
    assert team.wait() == [0, 0], team.errors
    assert team.err(0) == team.err(1) == "kept 1\n" * 2
    same(alone.figures(), team.figures())


@pytest.mark.parametrize("way", WAYS)
def test_what_two_began_two_can_resume_and_so_can_one(
    way: str, train, together, settings, tmp_path: Path
) -> None:
    env = WAYS[way]
    given = settings["sft"] | {"save_steps": 1, "save_total_limit": 0, "max_steps": 3}
    whole = together("sft", env=env, per_device_train_batch_size=4, **given)
    assert whole.wait() == [0, 0], whole.errors
    for name in ("again", "alone"):
        first = Path("checkpoints") / "step-1"
        shutil.copytree(whole.folder / first, tmp_path / name / first)
    resume = ("sft", "--resume")
    again = together(*resume, env=env, output="again", per_device_train_batch_size=4, **given)
    assert again.wait() == [0, 0], again.errors
    assert again.figures() == whole.figures()[1:]
    alone = train(*resume, output="alone", per_device_train_batch_size=8, **given)
    assert alone.code == 0, alone.err
    same(alone.figures(), whole.figures()[1:])


def test_each_process_resumes_with_its_own_chance(together, tmp_path: Path) -> None:
    """What adapters drop: a process draws for its own tokens, of which it has more or fewer."""
    given = {"lora_r": 2, "lora_dropout": 0.5, "max_steps": 3, "learning_rate": 1e-2}
    given |= {"save_steps": 1, "save_total_limit": 0, "per_device_train_batch_size": 2}
    whole = together("sft", env={}, **given)
    assert whole.wait() == [0, 0], whole.errors
    first = Path("checkpoints") / "step-1"
    shutil.copytree(whole.folder / first, tmp_path / "again" / first)
    again = together("sft", "--resume", env={}, output="again", **given)
    assert again.wait() == [0, 0], again.errors
    assert again.figures() == whole.figures()[1:]


def test_a_process_without_rows_goes_along(train, together, tmp_path: Path) -> None:
    """The second batch of each epoch has one row for two processes."""
    few = manners.rows("preference", manners.prompts()[:3])
    manners.write_split(tmp_path / "few", "preference", "train", few)
    given = {"dataset": tmp_path / "few", "max_steps": 2, "learning_rate": 1e-3}
    teams = [
        together("reward", env=env, output=way, per_device_train_batch_size=1, **given)
        for way, env in WAYS.items()
    ]
    alone = train("reward", per_device_train_batch_size=2, **given)
    for team in teams:
        assert team.wait() == [0, 0], team.errors
        same(alone.figures(), team.figures())


def lost(team: Team, victim: int) -> None:
    """One was killed, and the other said so and ended."""
    codes = team.wait()
    assert (codes[victim], codes[1 - victim]) == (-signal.SIGKILL, 1), team.errors
    [sentence] = team.err(1 - victim).splitlines()
    assert sentence.startswith("Another process of this training ended")
    if victim == 1:
        assert team.result["state"] == "failed"
        assert team.result["error"] == sentence


def test_who_shards_weights_with_a_killed_process_says_so_and_ends(together, settings) -> None:
    lost(together("sft", env=FSDP | {"VICTIM": "0"}, what=_die, **settings["sft"]), 0)


def test_a_killed_team_goes_on_as_if_nothing_had_been(together, settings) -> None:
    given = settings["dpo"] | {"lora_r": 4, "save_steps": 1, "max_steps": 3}
    begin = partial(together, "dpo", per_device_train_batch_size=4, **given)
    whole = begin(output="whole", env={})
    broken = begin(output="broken", what=_die, env={"VICTIM": "1"})
    assert whole.wait() == [0, 0], whole.errors
    lost(broken, 1)
    again = begin("--resume", output="broken", env={})
    assert again.wait() == [0, 0], again.errors
    assert again.figures() == whole.figures()
    one, two = weights_of(whole.folder), weights_of(again.folder)
    assert all(torch.equal(one[name], two[name]) for name in one)


def _lose_another(arguments: list[str]) -> None:
    """A training whose group still waits, in a thread, for the process that is gone."""
    from app.trainer import __main__ as trainer
    from app.trainer import running

    def train(*_: Any) -> None:
        threading.Thread(target=threading.Event().wait).start()
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")

    running.train = train
    raise SystemExit(trainer.main(arguments))


def test_nobody_waits_for_who_is_gone(data: Path, micro: str, tmp_path: Path) -> None:
    command = ["sft", "--dataset", str(data), "--model", micro, "--output", str(tmp_path / "run")]
    assert forks.run(_lose_another, command) == 1
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["error"].startswith("Another process of this training ended")


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "--module"],
    "accelerate": [
        "accelerate.commands.launch", "--num_processes=2", "--use_fsdp", "--fsdp_version=2",
        "--module",
    ],
}  # fmt: skip


@pytest.mark.skipif("LAUNCH" not in os.environ, reason="slow: set LAUNCH=1")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_real_launchers(launcher: str, train, data: Path, micro: str, tmp_path: Path) -> None:
    alone = train("sft", max_steps=2, per_device_train_batch_size=8)
    command = [sys.executable, "-m", *LAUNCHERS[launcher], "app.trainer", "sft"]
    command += ["--dataset", str(data), "--model", micro, "--output", str(tmp_path / "two")]
    given = {"max_steps": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 4}
    command += [part for k, v in given.items() for part in ("--set", f"{k}={v}")]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, check=False, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    same(alone.figures(), type(alone)(0, tmp_path / "two", "", "").figures())
