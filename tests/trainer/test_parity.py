"""Losses of every step against those that TRL had on the same model and data.

The numbers in tests/parity/stored.json come from `python -m tests.parity --store`, which runs TRL.
"""

import json
from pathlib import Path

import pytest

from app.trainer.running import quiet
from tests.parity import cases, ours
from tests.parity.__main__ import STORED, TOLERANCE, worst_of
from tests.parity.world import write_world

TRL = json.loads(STORED.read_text())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet()
    folder = tmp_path_factory.mktemp("parity")
    assert write_world(folder) == TRL["world"], "another world: run python -m tests.parity --store"
    return folder


def test_every_case_is_stored() -> None:
    assert list(TRL["losses"]) == [case.name for case in cases.CASES]
    assert TRL["versions"]["trl"].startswith("1.16.")


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_losses_are_those_of_trl(case: cases.Case, world: Path, tmp_path: Path) -> None:
    metrics = ours.train(
        case.kind, world, tmp_path / "run", start=case.start, config=case.config,
        settings=cases.COMMON | case.ours,
    )  # fmt: skip
    worst, step = worst_of([row["loss"] for row in metrics], TRL["losses"][case.name])
    assert worst < TOLERANCE, f"{worst:.1e} apart at step {step}"
