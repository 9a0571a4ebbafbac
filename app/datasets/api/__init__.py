"""Snapshots as JSON and as files (contract §3)."""

from app.datasets.api import snapshots

routers = [snapshots.router]
