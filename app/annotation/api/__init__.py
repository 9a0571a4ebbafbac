"""Assignments, judgements and gold keys, as JSON (contract §3)."""

from app.annotation.api import reading, turns, work

routers = [turns.router, work.router, reading.router]
