"""The background worker: one thin file per kind of job.

The queue imports this package to know all jobs, so every file that defines one is named here.
"""

from app.worker import (
    comparisons,
    generation,
    imports,
    overlap,
    playing,
    snapshots,
    statistics,
    training,
)

__all__ = [
    "comparisons",
    "generation",
    "imports",
    "overlap",
    "playing",
    "snapshots",
    "statistics",
    "training",
]
