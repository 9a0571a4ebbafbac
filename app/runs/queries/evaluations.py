"""How good a finished reward model is, as its run wrote it into result.json."""

import json

from app import artifacts
from app.db import JsonObject
from app.errors import AppError
from app.runs.models import Run, RunKind

MOST = 1 << 20  # bytes; one that is larger is not ours


def evaluation_of(run: Run) -> JsonObject | None:
    """The `evaluation` of a reward model that was kept; None where there is none (yet)."""
    if run.kind is not RunKind.REWARD or run.path is None or run.finished_at is None:
        return None
    try:
        with artifacts.open_file(f"{run.path}/result.json") as file:
            result = json.loads(file.read(MOST))
    except (AppError, OSError, ValueError):
        return None
    found = result.get("evaluation") if isinstance(result, dict) else None
    if not isinstance(found, dict) or not found.get("sentences"):
        return None
    return {"people": None, "criteria": [], **found}
