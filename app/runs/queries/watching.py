"""What a run takes of its machine, and the end of what it says."""

from sqlalchemy import Float, func, select
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.runs.models import Run, RunLog, RunUsage

NAMES = ("cpu", "rss", "memory_total", "gpu", "gpu_memory", "gpu_total")


def usage_of(session: Session, *, run: Run, points: int = 400) -> list[JsonObject]:
    """Looks at the processes in order of time; of many, the highest figures of each stretch."""
    rows = (
        select(
            RunUsage.at,
            RunUsage.attempt,
            *(RunUsage.values[name].as_float().label(name) for name in NAMES),
            func.ntile(points).over(order_by=RunUsage.id).label("stretch"),
        )
        .where(RunUsage.run_id == run.id)
        .subquery()
    )
    found = session.execute(
        select(
            func.max(rows.c.at).label("at"),
            func.max(rows.c.attempt).label("attempt"),
            *(func.max(rows.c[name], type_=Float()).label(name) for name in NAMES),
        )
        .group_by(rows.c.stretch)
        .order_by(rows.c.stretch)
    ).all()
    return [row._asdict() for row in found]


def log_tail(session: Session, *, run: Run) -> str:
    """The last lines of the present attempt; empty where there are none yet."""
    return (
        session.scalar(
            select(RunLog.tail).where(RunLog.run_id == run.id, RunLog.attempt == run.attempt)
        )
        or ""
    )
