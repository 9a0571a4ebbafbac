"""Runs, checkpoints and generations as pages."""

from fastapi import APIRouter

from app.runs.pages import checkpoints, generations, runs

router = APIRouter(include_in_schema=False)
for part in (runs, checkpoints, generations):
    router.include_router(part.router)
