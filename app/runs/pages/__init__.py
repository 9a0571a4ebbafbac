"""Runs, checkpoints and generations as pages."""

from app.runs.pages import checking, checkpoints, comparing, generations, runs

routers = [checking.router, comparing.router, runs.router, checkpoints.router, generations.router]
