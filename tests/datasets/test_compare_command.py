"""`touchstone compare` on folders, without a database."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from app import artifacts
from app.cli import app
from tests.datasets.frozen import freeze
from tests.datasets.true import revise, true_task
from tests.factories import make_annotation


@pytest.fixture
def folders(session, project, ana, tmp_path):
    """The folders of two snapshots; in between one judgement was reversed."""
    made = []
    for number in range(3):
        task, _ = true_task(session, project, f"Question {number}", ["=x", "y"])
        made.append(make_annotation(session, task, ana, ranks=[1, 2]))
    first = freeze(session, project, test_share=0)
    revise(session, made[0], ranks=[2, 1])
    second = freeze(session, project, test_share=0, min_annotations=1, seed=7)
    for snapshot, name in ((first, "first"), (second, "second")):
        shutil.copytree(artifacts.local_path(snapshot.path), tmp_path / name)
    return tmp_path / "first", tmp_path / "second"


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_it_says_what_differs_and_writes_every_difference(folders, tmp_path):
    output = tmp_path / "differences.jsonl"
    said = run(*folders, "--output", output)
    assert said.exit_code == 0
    assert "2 comparisons are the same, 1 changed (1 of them reversed)." in said.stdout
    assert "seed: 0 → 7" in said.stdout
    assert "preference: 1 preference reversed" in said.stdout
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert {line["config"] for line in lines} >= {"preference", "hh-rlhf", "ranking"}
    table = tmp_path / "differences.csv"
    assert run(*folders, "--output", table).exit_code == 0
    assert "'=x" in table.read_text(encoding="utf-8-sig")


def test_a_folder_is_the_same_as_itself(folders):
    assert "They hold the same rows." in run(folders[0], folders[0]).stdout


@pytest.mark.parametrize("output", ["differences.txt", "there.csv"])
def test_it_writes_over_nothing_and_nothing_else(folders, tmp_path, output):
    (tmp_path / "there.csv").write_text("mine")
    said = run(*folders, "--output", tmp_path / output)
    assert said.exit_code == 2
    assert "must be a new file" in said.stderr
    assert (tmp_path / "there.csv").read_text() == "mine"
