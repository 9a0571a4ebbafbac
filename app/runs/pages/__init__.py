"""Runs, checkpoints and generations as pages."""

from app.runs.pages import checkpoints, generations, runs

routers = [runs.router, checkpoints.router, generations.router]
