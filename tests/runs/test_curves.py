"""Long curves in few points: what is kept of them, and that blocks say what the steps say."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.projects.models import Project
from app.runs import queries, service
from app.runs.models import MetricBlock, Run
from app.runs.queries.thinning import Stretches, thinned
from tests.runs.factories import make_run, make_snapshot

SIZE = MetricBlock.SIZE
STEPS = 24 * SIZE + 40  # enough for blocks to be used, and a rest


def steps_of(values: list[float]) -> Stretches:
    return Stretches.of([(1, v, step, v, step, v) for step, v in enumerate(values, 1)])


@pytest.mark.parametrize("points", [2, 10, 100, 999])
def test_thinning_keeps_the_ends_and_every_extreme(points: int) -> None:
    rng = Random(5)
    values = [rng.gauss(0, 1) for _ in range(20_000)]
    values[12_345], values[777] = 50.0, -50.0
    found = thinned(steps_of(values), points=points)
    drawn = dict(zip(found["step"], found["value"], strict=True))
    assert (drawn[1], drawn[20_000]) == (values[0], values[-1])
    assert (drawn[12_346], drawn[778]) == (50.0, -50.0)
    assert found["step"] == sorted(drawn)
    assert len(drawn) <= points + 2
    assert all(values[step - 1] == value for step, value in drawn.items())  # none is made up


def test_the_means_are_those_of_the_stretches() -> None:
    values = [float(step % 7) for step in range(1000)]
    found = thinned(steps_of(values), points=20)
    assert found["mean"] == pytest.approx(np.mean(np.reshape(values, (10, 100)), axis=1).tolist())


def test_few_points_stay_as_they_are() -> None:
    assert thinned(steps_of([3.0, 1.0, 2.0]), points=10) == {
        "step": [1, 2, 3],
        "value": [3.0, 1.0, 2.0],
    }
    assert thinned(Stretches.of([]), points=10) == {"step": [], "value": []}


def train(session: Session, run: Run, *steps: range, spike: int | None = None) -> service.Lease:
    """Attempts of the run, each of which logs a range of steps and is then lost."""
    lease = None
    for attempt, logged in enumerate(steps, 1):
        run.saved_step = logged.start - 1 or None
        run.saved_path = "saved" if run.saved_step else None
        session.flush()
        if lease is not None:
            service.release(session, lease=lease, reason="Lost.")
        lease = service.start(session, run_id=run.id)
        assert lease is not None
        lines = [
            {
                "step": step,
                "time": 1000.0 * attempt + step,
                "loss": 99.0 if step == spike else attempt + 1 / step,
                "odd": math.nan if step % 2 else 1.0,
            }
            for step in logged
        ]
        for at in range(0, len(lines), 100):
            service.record(session, lease=lease, metrics=lines[at : at + 100])
    session.refresh(run)
    assert lease is not None
    return lease


@pytest.fixture
def run(session: Session, project: Project) -> Run:
    return make_run(session, make_snapshot(session, project))


def drawn(session: Session, run: Run, **more: Any) -> dict[str, dict[int, float]]:
    curves, _ = queries.curves_of(session, run=run, names=["loss", "odd", "time"], **more)
    return {
        name: dict(zip(curve["step"], curve["value"], strict=True))
        for name, curve in curves.items()
    }


def test_blocks_stand_for_their_steps(session: Session, run: Run) -> None:
    train(session, run, range(1, STEPS), spike=3000)
    blocks = session.scalars(select(MetricBlock).where(MetricBlock.run_id == run.id)).all()
    assert sorted(block.block for block in blocks) == list(range((STEPS - 1) // SIZE))
    figures = next(block for block in blocks if block.block == 3000 // SIZE).values
    assert figures["loss"]["max"] == [3000, 99.0]
    assert figures["odd"]["n"] == SIZE // 2  # what was not a number is left out
    every = {row["step"]: row["loss"] for row in queries.metrics_of(session, run=run)}
    thin = drawn(session, run, points=60)["loss"]
    assert thin[3000] == 99.0
    assert (thin[1], thin[STEPS - 1]) == (every[1], every[STEPS - 1])
    assert all(every[step] == value for step, value in thin.items())
    assert set(drawn(session, run, points=60)["odd"].values()) == {1.0}


def test_what_a_later_attempt_made_again_is_drawn_once(session: Session, run: Run) -> None:
    """Attempts take over inside blocks, and the last one is still inside its first."""
    train(session, run, range(1, 5000), range(3001, 6000), range(5500, 5600))
    curves, last = queries.curves_of(session, run=run, names=["loss"], points=10_000)
    every = {row["step"]: row["loss"] for row in queries.metrics_of(session, run=run)}
    curve = dict(zip(curves["loss"]["step"], curves["loss"]["value"], strict=True))
    assert last == max(every) == 5599
    assert all(every[step] == value for step, value in curve.items())
    # every step is covered: by itself, or by a block of one attempt
    assert {int(value) for step, value in curve.items() if 3001 <= step < 5499} == {2}
    assert {int(value) for step, value in curve.items() if 1 < step <= 3000} == {1}
    assert {int(value) for step, value in curve.items() if step >= 5500} == {3}


def test_a_poll_gets_what_is_new(
    session: Session, api: Callable[[User], TestClient], ada: User, run: Run
) -> None:
    lease = train(session, run, range(1, STEPS))
    session.commit()
    address = f"/api/v1/runs/{run.id}/curves?metric=loss&metric=none"
    program = api(ada)
    first = program.get(address).json()
    assert first["last_step"] == STEPS - 1
    assert first["curves"]["none"]["step"] == []
    assert first["curves"]["loss"]["mean"] is not None
    service.record(session, lease=lease, metrics=[{"step": STEPS, "loss": 0.5}])
    session.commit()
    fresh = program.get(f"{address}&after_step={first['last_step']}").json()
    assert fresh["curves"]["loss"] == {
        "step": [STEPS],
        "value": [0.5],
        "mean_step": None,
        "mean": None,
    }
    assert (fresh["attempt"], fresh["state"], fresh["last_step"]) == (1, "running", STEPS)
    nothing = program.get(f"{address}&after_step={STEPS}").json()
    assert (nothing["curves"]["loss"]["step"], nothing["last_step"]) == ([], STEPS)
