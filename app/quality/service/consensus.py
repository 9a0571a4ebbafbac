"""The least certain tasks and people's confusion, from kept figures and live rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.quality.queries.review import TaskLine, task_lines
from app.quality.schemas.consensus import ConfusionOut
from app.quality.service.summary import View


@dataclass(frozen=True, slots=True)
class UncertainTask:
    """`ranks` by canonical position; `majority` is None where it is even."""

    line: TaskLine
    posterior: float
    n_annotations: int
    disagreement: float | None
    ranks: Sequence[int]
    majority: Sequence[int] | None


def uncertain_tasks(session: Session, *, view: View, start: int, limit: int) -> list[UncertainTask]:
    """Part of the list of tasks that no reviewer had settled, least certain first.

    `view` is that of `Part.CONSENSUS`, which keeps the first thousand.
    """
    part = view.figures["uncertain"][start : start + limit]
    lines = task_lines(session, task_ids=[UUID(task["task_id"]) for task in part])
    return [
        UncertainTask(lines[task_id], **{key: task[key] for key in _SHOWN})
        for task in part
        if (task_id := UUID(task["task_id"])) in lines
    ]


def most_uncertain(session: Session, *, view: View) -> list[UncertainTask]:
    """All that are kept."""
    return uncertain_tasks(session, view=view, start=0, limit=len(view.figures["uncertain"]))


_SHOWN = ("posterior", "n_annotations", "disagreement", "ranks", "majority")


def confusion_of(view: View, *, user_id: UUID) -> ConfusionOut | None:
    """How one person errs, from the view of `Part.CONSENSUS`; None before she has judged."""
    rows: Sequence[Mapping[str, Any]] = view.figures["annotators"]
    found = next((row for row in rows if row["user_id"] == str(user_id)), None)
    return None if found is None else ConfusionOut.model_validate(found)
