"""Runs and checkpoints as pages."""

from app.runs.pages import checking, checkpoints, comparing, runs

routers = [checking.router, comparing.router, runs.router, checkpoints.router]
