"""Snapshots as pages."""

from app.datasets.pages import comparing, looking, snapshots

routers = [comparing.router, snapshots.router, looking.router]
