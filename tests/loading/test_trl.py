"""TRL's own trainers take a snapshot as `datasets` reads it, unchanged.

They live in an environment of their own: `make trl` builds .venv-trl and runs this file. Without
that environment it is skipped.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import artifacts
from app.config import settings
from tests.datasets.frozen import freeze
from tests.factories import make_annotation, make_task

HOME = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("TRL_PYTHON", HOME / ".venv-trl/bin/python"))

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make trl` builds its environment")


@pytest.fixture
def folder(session, project, ana, rui, tmp_path, monkeypatch):
    """A snapshot with every config, strengths and margins in some rows only."""
    monkeypatch.setitem(settings.__dict__, "artifacts_url", (tmp_path / "store").as_uri())
    project.criteria = [{"key": "truth", "label": "True", "min": 1, "max": 5}]
    for number in range(12):
        task = make_task(
            session,
            project,
            prompt=f"Question {number}: what is {number} plus one?",
            responses=[f"It is {number + 1}.", f"Perhaps {number}?", "No idea."],
            wanted=2,
        )
        for person in (ana, rui):
            make_annotation(
                session,
                task,
                person,
                ranks=[1, 2, 3],
                ratings={"truth": {"0": 5}},
                rewrite=f"{number + 1}" if number % 2 else None,
            )
    pair = make_task(session, project, prompt="A pair?", responses=["Yes.", "No."])
    make_annotation(session, pair, ana, ranks=[1, 2], strength=2)
    snapshot = freeze(session, project, margin="strength", ties="keep")
    with artifacts.local_folder(snapshot.path) as found:
        yield found


@pytest.fixture
def model(tmp_path):
    """A language model of our own making, with its tokenizer."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("Question: what is one plus one? It is two. Perhaps. No idea.\n" * 200)
    command = [sys.executable, "-m", "app.cli", "model", "new", "--size", "tiny", "--steps", "1"]
    output = tmp_path / "model"
    subprocess.run([*command, "--corpus", corpus, "--output", output], cwd=HOME, check=True)
    return output


def test_every_trainer_makes_a_step(folder, model, tmp_path):
    home = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    script = Path(__file__).with_name("trl_steps.py")
    ran = subprocess.run(
        [PYTHON, script, folder, model],
        env=os.environ | home,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said.keys() == {"versions", "reward", "dpo", "sft", "kto"}
    for kind in ("reward", "dpo", "sft", "kto"):
        assert math.isfinite(said[kind]["loss"]), kind
        assert said[kind]["rows"] > 0
