"""What is put side by side of several runs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.datasets.models import Snapshot
from app.db import JsonObject
from app.projects.models import Project
from app.runs import rules
from app.runs.models import Checkpoint, Run
from app.runs.queries.evaluations import evaluation_of


def runs_in(session: Session, *, project: Project, ids: Sequence[UUID]) -> list[Run]:
    """The named runs of the project in the order of the names, each once; others are not there."""
    found = {
        run.id: run
        for run in session.scalars(select(Run).where(Run.project_id == project.id, Run.id.in_(ids)))
    }
    return [found[each] for each in dict.fromkeys(ids) if each in found]


def sides_of(session: Session, *, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What `formats.Side` is made of, for each run."""
    wanted = {run.parent_checkpoint_id for run in runs} | {run.reward_checkpoint_id for run in runs}
    checkpoints = _names(session, Checkpoint, wanted)
    snapshots = _names(session, Snapshot, {run.snapshot_id for run in runs})
    return [
        {
            "id": str(run.id),
            "name": run.name,
            "kind": run.kind.value,
            "config": run.config,
            "inputs": _inputs(run, checkpoints=checkpoints, snapshots=snapshots),
            "metrics": run.metrics,
            "evaluation": evaluation_of(run),
        }
        for run in runs
    ]


def _inputs(run: Run, *, checkpoints: dict[UUID, str], snapshots: dict[UUID, str]) -> JsonObject:
    if run.parent_checkpoint_id is not None:
        base = checkpoints.get(run.parent_checkpoint_id, "a checkpoint")
    elif "new" in run.base:
        base = f"a new {run.base['new']} model"
    else:
        base = str(run.base.get("model") or "a run before it")
    found = {
        "kind": rules.NAMES[run.kind],
        "snapshot": snapshots.get(run.snapshot_id, ""),
        "starts from": base,
    }
    if run.reward_checkpoint_id is not None:
        found["reward model"] = checkpoints.get(run.reward_checkpoint_id, "")
    return found


def _names(
    session: Session, table: type[Checkpoint] | type[Snapshot], ids: set[Any]
) -> dict[UUID, str]:
    rows = session.execute(select(table.id, table.name).where(table.id.in_(ids - {None})))
    return {row.id: row.name for row in rows}
