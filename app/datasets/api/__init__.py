"""Snapshots as JSON and as files (contract §3)."""

from app.datasets.api import looking, snapshots

routers = [snapshots.router, looking.router]
