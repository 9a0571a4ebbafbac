"""Snapshots as pages."""

from app.datasets.pages import comparing, editor, looking, snapshots

# The page of one snapshot comes behind those whose names are no ids: `new`, `counts`, `compare`.
routers = [editor.router, comparing.router, snapshots.router, looking.router]
