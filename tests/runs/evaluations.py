"""What a reward run leaves behind when it has been evaluated, for tests of its page."""

import json
from typing import Any
from uuid import uuid4

from sqlalchemy import func
from sqlalchemy.orm import Session

from app import artifacts
from app.db import JobState
from app.projects.models import Project
from app.runs.models import Run, RunKind
from tests.runs.factories import make_checkpoint, make_run, make_snapshot


def share(value: float, n: int, width: float = 0.05, label: str = "") -> dict[str, Any]:
    found = {"value": value, "low": value - width, "high": min(1.0, value + width), "n": n}
    return {"label": label, **found} if label else found


def mistake(number: int, prompt: str = "") -> dict[str, Any]:
    return {
        "prompt": prompt or f"How many eggs are in box {number}?",
        "responses": [f"There are {number}.", "A <b>great</b> many, " + "eggs " * 30],
        "scores": [-1.25 + number / 10, 2.5 - number / 10],
        "votes": 3,
        "share": 0.6667,
        "where": f"ranking/test.jsonl.gz line {number}",
    }


EVALUATION: dict[str, Any] = {
    "tasks": 512,
    "accuracy": share(0.74, 512, 0.04),
    "baseline": {"rule": "longer", **share(0.62, 512, 0.04), "gain": share(0.12, 512)},
    "people": {"people": 0.76, "best": 0.83, "votes": 3.2, "n": 400, "model": share(0.7, 400)},
    "calibration": {
        "ece": 0.04,
        "claimed": 0.8,
        "held": 0.77,
        "bins": [
            {"claimed": 0.525 + b / 20, "held": 0.5 + b / 24, "low": 0.42 + b / 24}
            | {"high": min(1.0, 0.58 + b / 24), "n": 20 + 12 * b}
            for b in range(10)
        ],
    },
    "by_agreement": [
        share(0.55, 80, 0.1, "up to 60 %"),
        share(0.66, 120, 0.08, "60–75 %"),
        share(0.84, 200, 0.05, "over 90 %"),
    ],
    "by_strength": [share(0.6, 90, 0.1, "1 place apart"), share(0.9, 40, 0.08, "2 places apart")],
    "by_length": [
        share(0.82, 300, 0.04, "the longer is better"),
        share(0.61, 200, 0.06, "the shorter is better"),
    ],
    "length": {"pearson": 0.35, "spearman": 0.33},
    "ensemble": {
        "members": 3,
        "alone": [0.72, 0.73, 0.71],
        "disagreement": 0.4,
        "differ": share(0.18, 512),
        "thirds": [
            share(0.9, 171, 0.05, "least disagreement"),
            share(0.75, 171, 0.06, "middle"),
            share(0.58, 170, 0.07, "most disagreement"),
        ],
    },
    "criteria": [
        {"name": "honest", "n": 300, "rmse": 0.61, "mean_rmse": 0.95, "correlation": 0.72},
        {"name": "kind", "n": 280, "rmse": 0.9, "mean_rmse": 0.92, "correlation": None},
    ],
    "worst": [mistake(number) for number in range(5)],
    "sentences": {
        "accuracy": "It puts 74 % of 512 unseen pairs in the order that people did (70–78 %).",
        "baseline": "It beats “the longer answer wins” (62 %) by 12 points (+7 to +17).",
        "people": "It agrees with 70 % of the single votes.",
        "calibration": "It is too sure of itself: it claims 80 % and is right in 77 %.",
        "length": "It leans towards longer answers (correlation within a prompt +0.35).",
        "ensemble": "Its 3 members put 18 % of pairs in different orders.",
        "criteria": "It foresees ratings of honest within 0.61.",
    },
}


def evaluated_run(session: Session, project: Project, *, evaluation: Any = EVALUATION) -> Run:
    """A finished reward model whose run folder is in the store."""
    run = make_run(
        session,
        make_snapshot(session, project),
        RunKind.REWARD,
        state=JobState.SUCCEEDED,
        finished_at=func.now(),
        step=40,
        total_steps=40,
        path=f"runs/{uuid4()}/attempt-1",
    )
    with artifacts.workspace() as space:
        folder = space / "run"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps({"evaluation": evaluation}))
        lines = (json.dumps(mistake(n)) + "\n" for n in range(5))
        (folder / "worst.jsonl").write_text("".join(lines))
        artifacts.put_folder(folder, to=str(run.path))
    make_checkpoint(session, project, RunKind.REWARD, run=run)
    session.flush()
    return run
