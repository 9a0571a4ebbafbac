"""The figures of a project's first page, from its judgements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from app.quality.rules.annotators import task_disagreement
from app.quality.rules.breakdowns import per_day
from app.quality.rules.fields import FieldAgreement, all_fields
from app.quality.rules.health import Health, annotator_health
from app.quality.rules.judgements import Judgements
from app.quality.rules.scales import Scale

DAYS = 30
MOST_DISPUTED = 1_000
SEED = 20


@dataclass(frozen=True, slots=True)
class Disputed:
    """A task that people judge differently: the share of pairs of judgements that differ."""

    task: int
    disagreement: float
    n_annotations: int


@dataclass(frozen=True, slots=True)
class Overview:
    fields: Mapping[str, FieldAgreement]
    days: Sequence[tuple[date, int]]
    annotators: Sequence[Health]
    disputed: Sequence[Disputed]


def overview(
    judgements: Judgements,
    *,
    n_annotators: int,
    levels: int,
    scales: Mapping[str, Scale],
    ties: bool,
    today: date,
) -> Overview:
    """Everything at once; the same judgements give the same intervals."""
    rng = np.random.default_rng(SEED)
    once = judgements.once()
    return Overview(
        fields=all_fields(once, levels=levels, scales=scales, ties=ties, rng=rng),
        days=per_day(once, until=today, days=DAYS),
        annotators=annotator_health(judgements, n_annotators=n_annotators),
        disputed=most_disputed(once),
    )


def most_disputed(judgements: Judgements) -> list[Disputed]:
    """Shared tasks by disagreement, then by number of judgements."""
    task, disagreement = task_disagreement(judgements)
    number = np.bincount(judgements.task)[task] if len(task) else task
    order = np.lexsort((task, -number, -disagreement))[:MOST_DISPUTED]
    return [
        Disputed(int(task[row]), round(float(disagreement[row]), 6), int(number[row]))
        for row in order
    ]
