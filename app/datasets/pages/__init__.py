"""Snapshots as pages."""

from app.datasets.pages import snapshots

routers = [snapshots.router]
