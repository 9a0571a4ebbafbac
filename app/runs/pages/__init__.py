"""Runs and checkpoints as pages."""

from app.runs.pages import checkpoints, runs

routers = [runs.router, checkpoints.router]
