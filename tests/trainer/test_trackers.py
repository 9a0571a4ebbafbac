"""`report_to`: figures for a tracker, by a package that stands in for the real one."""

import json
import sys
from pathlib import Path

import pytest

STAND_IN = """
import json, os
from pathlib import Path

config = {}

class Run:
    def __init__(self, given):
        self.file = Path(os.environ["STAND_IN"])
        self.write(given)
    def write(self, row):
        if row.get("fails") or (os.environ.get("STAND_IN_FAILS") == str(row.get("step"))):
            raise ConnectionError("the network is away")
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\\n")
    def log(self, values, step=None):
        self.write({"step": step, **values})
    def finish(self):
        self.write({"finished": True, "rate": config["learning_rate"]})

class Settings(dict):
    def update(self, values, allow_val_change):
        super().update(values)

config = Settings()

def init(**given):
    if os.environ.get("STAND_IN_FAILS") == "start":
        raise RuntimeError("nobody is logged in")
    return Run(given)
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the stand-in for trackio or wandb was told, line by line."""
    (tmp_path / "packages").mkdir()
    for name in ("trackio", "wandb"):
        (tmp_path / "packages" / f"{name}.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("STAND_IN", str(tmp_path / "told.jsonl"))
    yield lambda: [json.loads(x) for x in (tmp_path / "told.jsonl").read_text().splitlines()]
    for name in ("trackio", "wandb"):
        sys.modules.pop(name, None)


def test_figures_go_to_the_tracker_too(train, told) -> None:
    run = train("sft", report_to="trackio", max_steps=3, num_samples=0)
    assert run.code == 0, run.err
    first, *steps, last = told()
    assert first == {"project": "touchstone", "name": "run"}
    assert [row["step"] for row in steps] == [1, 2, 3]
    assert [row["loss"] for row in steps] == [row["loss"] for row in run.metrics]
    assert last == {"finished": True, "rate": 1e-3}


def test_wandb_keeps_its_files_in_the_run_folder_unless_told_otherwise(
    train, told, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_DIR", raising=False)
    run = train("sft", report_to="wandb", max_steps=1, num_samples=0)
    assert run.code == 0, run.err
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    assert train("sft", report_to="wandb", max_steps=1, num_samples=0, output="other").code == 0
    begun = [row["dir"] for row in told() if "dir" in row]
    assert begun == [str(run.folder), str(tmp_path)]


def test_a_tracker_that_fails_never_ends_a_run(train, told, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "2")
    run = train("sft", report_to="trackio", max_steps=3, num_samples=0)
    assert run.code == 0, run.err
    assert "trackio took no figures at step 2: the network is away." in run.out
    assert [row["step"] for row in told()[1:]] == [1]
    assert len(run.metrics) == 3


def test_one_that_cannot_be_started_is_said_before_the_training(train, told, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "start")
    run = train("sft", report_to="trackio", max_steps=3)
    assert run.code == 2
    assert "report_to=trackio could not be started: nobody is logged in." in run.err
    assert not (run.folder / "metrics.jsonl").exists()


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio", "mlflow"])
def test_a_package_that_is_missing_is_named(name: str, train, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    run = train("sft", report_to=name)
    assert run.code == 2
    assert f"report_to={name} needs the package {name}: `pip install {name}`" in run.err
