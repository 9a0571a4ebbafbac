"""What a run would be, said at once: steps by its rows, time by earlier runs like it."""

import statistics
from typing import Any

from sqlalchemy.orm import Session

from app.datasets.models import Snapshot
from app.projects.models import Project
from app.runs import queries, rules
from app.runs.schemas import RunBody
from app.runs.service.launching import wanted

LATEST = 5  # runs whose pace counts


def estimate(session: Session, *, snapshot: Snapshot, body: RunBody) -> dict[str, Any]:
    """`{rows, steps, seconds, runs}`; seconds are None where no run like it has ended yet.

    Raises as a launch does for what cannot be run.
    """
    asked = wanted(session, snapshot=snapshot, body=body)
    rows = queries.training_rows(snapshot)
    name = rules.dataset_config(body.kind, asked.config, available=rows)
    alike = queries.runs_like(
        session,
        project=session.get_one(Project, snapshot.project_id),
        kind=body.kind,
        base=body.base.model_dump(mode="json", exclude_none=True),
        parent=asked.parent,
    )[:LATEST]
    per_example = [
        (run.finished_at - run.started_at).total_seconds() / (run.step * rules.batch_of(run.config))
        for run in alike
        if run.finished_at and run.started_at
    ]
    examples = asked.steps * rules.batch_of(
        {
            "per_device_train_batch_size": asked.config.per_device_train_batch_size,
            "gradient_accumulation_steps": asked.config.gradient_accumulation_steps,
        }
    )
    return {
        "rows": rows[name],
        "steps": asked.steps,
        "seconds": statistics.median(per_example) * examples if per_example else None,
        "runs": len(per_example),
    }
