"""The pages of datasets."""

from fastapi import APIRouter

from app.datasets.pages import editor, snapshots

router = APIRouter()
# Before the page of one snapshot: `new` and `counts` are no ids.
router.include_router(editor.router)
router.include_router(snapshots.router)
