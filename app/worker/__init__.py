"""The background worker: one thin file per kind of job.

The queue imports this package to know all jobs, so every file that defines one is named here.
"""

from app.worker import (
    comparisons,
    evaluation,
    generation,
    imports,
    overlap,
    playing,
    rehearsing,
    snapshots,
    statistics,
    training,
)

__all__ = [
    "comparisons",
    "evaluation",
    "generation",
    "imports",
    "overlap",
    "playing",
    "rehearsing",
    "snapshots",
    "statistics",
    "training",
]
