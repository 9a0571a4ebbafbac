"""Reads of runs, their curves and texts, of checkpoints, and of where these came from."""

from app.runs.queries.checks import checks_ahead, runs_like
from app.runs.queries.comparing import runs_in, sides_of
from app.runs.queries.curves import curves_of
from app.runs.queries.descendants import is_in_snapshots
from app.runs.queries.evaluations import evaluation_of
from app.runs.queries.lineage import (
    Step,
    ancestry,
    erased_snapshots,
    lineage,
    snapshot_origins,
)
from app.runs.queries.promoted import promoted_id
from app.runs.queries.runs import (
    awaited,
    blocker,
    checkpoint_in,
    checkpoints_of,
    events_of,
    final_checkpoint,
    final_checkpoints,
    is_from_scratch,
    metrics_of,
    run_in,
    runs_from,
    runs_of,
    sample_in,
    samples_of,
    snapshot_in,
    time_left,
    training_rows,
    unfinished,
    usable_snapshots,
    waits,
    writers_of,
)
from app.runs.queries.watching import log_tail, usage_of
from app.runs.queries.workers import Connected, Place, places, why_it_waits, workers

__all__ = [
    "Connected",
    "Place",
    "Step",
    "ancestry",
    "awaited",
    "blocker",
    "checkpoint_in",
    "checkpoints_of",
    "checks_ahead",
    "curves_of",
    "erased_snapshots",
    "evaluation_of",
    "events_of",
    "final_checkpoint",
    "final_checkpoints",
    "is_from_scratch",
    "is_in_snapshots",
    "lineage",
    "log_tail",
    "metrics_of",
    "places",
    "promoted_id",
    "run_in",
    "runs_from",
    "runs_in",
    "runs_like",
    "runs_of",
    "sample_in",
    "samples_of",
    "sides_of",
    "snapshot_in",
    "snapshot_origins",
    "time_left",
    "training_rows",
    "unfinished",
    "usable_snapshots",
    "usage_of",
    "waits",
    "why_it_waits",
    "workers",
    "writers_of",
]
