"""Runs, checkpoints, lineage and storage as JSON (contract §3)."""

from app.runs.api import checkpoints, descending, runs, storage, workers

routers = [runs.router, checkpoints.router, descending.router, storage.router, workers.router]
