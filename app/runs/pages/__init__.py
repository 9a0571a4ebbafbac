"""Runs, checkpoints and generations as pages."""

from app.runs.pages import checkpoints, comparing, generations, runs

routers = [comparing.router, runs.router, checkpoints.router, generations.router]
