"""Runs and checkpoints as pages."""

from app.runs.pages import checking, checkpoints, comparing, descending, runs, storage, workers

routers = [
    each.router for each in (checking, comparing, runs, checkpoints, descending, storage, workers)
]
