"""Runs, checkpoints and generations as pages."""

from app.runs.pages import checkpoints, generations, runs, workers

routers = [runs.router, checkpoints.router, generations.router, workers.router]
