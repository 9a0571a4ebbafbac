"""`--check`: what a run would be, found by the first updates of the real one."""

import json
import shutil
from pathlib import Path

import pytest

from app.trainer.__main__ import main
from tests.trainer import manners


@pytest.fixture
def check(data: Path, micro: str, capfd: pytest.CaptureFixture[str]):
    """Check one training → exit code, report, standard error."""

    def run(kind: str, *, dataset: Path = data, **settings: object) -> tuple[int, dict, str]:
        capfd.readouterr()
        pairs = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
        code = main([kind, "--dataset", str(dataset), "--model", micro, "--check", *pairs])
        out, err = capfd.readouterr()
        return code, json.loads(out), err

    return run


@pytest.mark.parametrize("kind", ["sft", "reward", "dpo", "ppo"])
def test_a_check_tells_steps_time_and_memory_and_keeps_nothing(
    kind: str, check, judge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given = {"per_device_train_batch_size": 4, "num_train_epochs": 5}
    more = {"reward_model_path": judge, "response_length": 6} if kind == "ppo" else {}
    code, report, err = check(kind, **given, **more)
    assert (code, err) == (0, "")
    assert (report["ok"], report["kind"]) == (True, kind)
    assert (report["steps"], report["steps_per_epoch"]) == (30, 6)
    train = report["data"]["train"]
    assert (train["rows"], train["dropped"], train["available"]) == (24, {}, 24)
    assert 10 < train["longest"] < train["tokens"]
    seconds = report["seconds"]
    assert all(seconds[part] > 0 for part in ("loading", "update", "evaluation"))
    assert seconds["total"] >= 30 * seconds["update"]
    assert report["tokens"] > 0
    assert 0 < report["memory"]["peak"] < report["memory"]["total"]
    assert not any(tmp_path.iterdir())


def test_a_limit_of_episodes_counts(check, judge: str) -> None:
    given = {"reward_model_path": judge, "response_length": 6, "total_episodes": 90}
    assert check("ppo", **given)[1]["steps"] == 8  # of 16 and 8 in turn


def test_rows_that_would_be_left_out_are_told(check, tmp_path: Path) -> None:
    made = manners.rows("sft", manners.prompts()[:6])
    made[2]["messages"][1]["content"] = " "
    manners.write_split(tmp_path, "sft", "train", made)
    _, report, _ = check("sft", dataset=tmp_path)
    assert report["data"]["train"]["dropped"] == {"a response is empty": 1}
    assert any("Left out 1 of 6 rows" in note for note in report["notes"])
    assert any("no test rows" in note for note in report["notes"])


def test_what_would_stop_the_run_stops_the_check(check, data: Path, tmp_path: Path) -> None:
    code, report, err = check("sft", dataset=tmp_path / "nowhere")
    assert (code, report["ok"], report["exit_code"]) == (2, False, 2)
    assert report["error"] == err.strip()
    code, report, _ = check("sft", dataset=data, learning_rate=1e30, max_grad_norm=0)
    assert (code, report["exit_code"]) == (4, 4)
    broken = shutil.copytree(data, tmp_path / "broken")
    (broken / "sft" / "test.jsonl.gz").write_bytes(b"no gzip")
    assert "cannot be read" in check("sft", dataset=broken)[1]["error"]


def test_a_run_needs_a_folder_and_a_check_does_not(data: Path, micro: str, capsys) -> None:
    assert main(["sft", "--dataset", str(data), "--model", micro]) == 2
    assert "Name the run folder with --output." in capsys.readouterr().err


def test_a_warm_up_is_held_against_the_whole_run(check) -> None:
    given = {"per_device_train_batch_size": 4, "num_train_epochs": 5, "max_new_tokens": 8}
    assert not any("rises" in note for note in check("sft", warmup_steps=29, **given)[1]["notes"])
    _, report, _ = check("sft", warmup_steps=30, **given)
    assert report["notes"][-1].startswith("The learning rate rises from 0 in the first 30 updates")
    _, report, _ = check("sft", per_device_train_batch_size=24, warmup_ratio=0.1)
    assert "it comes to 0% of learning_rate" in report["notes"][-1]
