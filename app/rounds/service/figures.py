"""What a round came to: kept with it as its steps end, so that later judgements change nothing."""

from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.projects.models import Project
from app.quality.models import Part
from app.quality.queries.crowd import crowd_of
from app.quality.queries.summary import fingerprint as fingerprint_of
from app.quality.rules.fields import all_fields
from app.quality.service import summary
from app.quality.service.breakdowns import has_ties
from app.quality.service.spending import price_of
from app.rounds import queries
from app.rounds.models import Round
from app.rounds.rules import Judged
from app.runs import queries as runs
from app.runs.models import Run

SEED = 20  # of the bootstrap: the same judgements give the same interval


def refresh(
    session: Session, *, round_: Round, project: Project, now: datetime, settled: bool = False
) -> Judged:
    """Count what was judged, and compute agreement and cost anew where judgements changed.

    While people still judge, the agreement of a large project may be some minutes old; `settled`:
    it is that of all judgements there are, because something depends on it.
    """
    judged = queries.judged_in(session, round_=round_)
    # Not by the number alone: a correction changes agreement, too.
    _, fingerprint = fingerprint_of(session, project=project, part=Part.DAY)
    if round_.figures.get("fingerprint") != fingerprint:
        agreement, is_current = _agreement(session, round_=round_, project=project, settled=settled)
        keep(
            round_,
            judgements=judged.judgements,
            agreement=agreement,
            cost=cost_of(session, round_=round_, project=project, until=now),
            fingerprint=fingerprint if is_current else None,  # None: looked at again
        )
    alpha = (round_.figures.get("agreement") or {}).get("value")
    return Judged(judged.judgements, judged.tasks_done, judged.tasks, agreement=alpha)


def keep(round_: Round, **figures: Any) -> None:
    """Add to the figures; a JSON column takes note of a new object alone."""
    round_.figures = {**round_.figures, **figures}


def _agreement(
    session: Session, *, round_: Round, project: Project, settled: bool
) -> tuple[JsonObject, bool]:
    """Krippendorff's α of the ranking over the tasks of this round; whether it is that of now."""
    if round_.judged_since is None:  # all of them: what the overview keeps already
        view = (
            summary.fresh(session, project=project)
            if settled
            else summary.current(session, project=project, wait=True)
        )
        if view is None:
            return {"value": None}, False
        return view.figures["fields"]["ranking"]["krippendorff_alpha"], view.is_current
    crowd = crowd_of(
        session, project=project, tasks=queries.tasks_judged_in(round_), with_lengths=False
    )
    judgements = crowd.judgements.once()
    if not len(judgements.task):
        nothing = {"value": None, "low": None, "high": None, "reason": "Nothing was judged."}
        return nothing, True
    fields = all_fields(
        judgements,
        levels=0,
        scales={},
        ties=has_ties(project, judgements),
        rng=np.random.default_rng(SEED),
    )
    return fields["ranking"].krippendorff_alpha.as_json(), True


def cost_of(
    session: Session, *, round_: Round, project: Project, until: datetime | None
) -> JsonObject:
    """People's work of the round: all that was handed in, gold and repeats as well."""
    number, ms = queries.work_in(session, round_=round_, until=until)
    hours, price = ms / 3_600_000, price_of(project)
    total = price.of(judgements=number, hours=hours)
    return {
        "judgements": number,
        "minutes": round(60 * hours, 2),
        "total": None if total is None else round(total, 6),
        "currency": price.currency,
    }


def of_reward(run: Run | None) -> JsonObject:
    """How often the reward model is right on comparisons it has not seen, and what people allow."""
    found = runs.evaluation_of(run) if run is not None else None
    if found is None:
        return {}
    people = found.get("people") or {}
    return {
        "accuracy": found.get("accuracy"),
        "people": {name: people.get(name) for name in ("people", "best", "votes", "model")},
    }


def seconds_of(trained: list[Run]) -> float:
    """The machine's time for the trainings of a round."""
    return sum(
        (run.finished_at - run.started_at).total_seconds()
        for run in trained
        if run.finished_at and run.started_at
    )
