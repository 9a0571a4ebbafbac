"""Assignments, judgements and gold keys, as JSON (contract §3)."""

from app.annotation.api import reading, work

routers = [work.router, reading.router]
