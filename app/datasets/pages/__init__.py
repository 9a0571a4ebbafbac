"""Datasets as pages."""

from app.datasets.pages import editor, snapshots

# The editor first: `new` and `counts` are no ids of snapshots.
routers = [editor.router, snapshots.router]
