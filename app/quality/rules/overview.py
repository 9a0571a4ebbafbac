"""The figures of a project's first page, from its judgements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from app.quality.rules.annotators import Matrix, agreement_matrix, task_disagreement
from app.quality.rules.breakdowns import Slice, by_week, per_day
from app.quality.rules.fields import FieldAgreement, all_fields, ranking_agreement
from app.quality.rules.health import Health, annotator_health
from app.quality.rules.intervals import Ints
from app.quality.rules.judgements import Judgements
from app.quality.rules.scales import Scale

WEEKS, DAYS = 12, 30
MOST_DISPUTED = 1_000
MATRIX_PEOPLE = 30
SEED = 20


@dataclass(frozen=True, slots=True)
class Disputed:
    """A task that people judge differently: the share of pairs of judgements that differ."""

    task: int
    disagreement: float
    n_annotations: int


@dataclass(frozen=True, slots=True)
class Overview:
    """weeks: ranking alone, oldest first; matrix: of `matrix_people`, annotator codes."""

    fields: Mapping[str, FieldAgreement]
    weeks: Sequence[Slice[str]]
    days: Sequence[tuple[date, int]]
    annotators: Sequence[Health]
    matrix_people: Ints
    matrix: Matrix
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
    number = np.bincount(once.annotator, minlength=n_annotators)
    busiest = np.sort(np.argsort(-number, kind="stable")[:MATRIX_PEOPLE])
    return Overview(
        fields=all_fields(once, levels=levels, scales=scales, ties=ties, rng=rng),
        weeks=by_week(
            once,
            lambda part: {"ranking": ranking_agreement(part, ties=ties, rng=rng)},
            most=WEEKS,
        ),
        days=per_day(once, until=today, days=DAYS),
        annotators=annotator_health(judgements, n_annotators=n_annotators),
        matrix_people=busiest,
        matrix=agreement_matrix(once, people=busiest),
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
