"""Curves as pages draw them: few points, whatever the number of steps behind them."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Float, case, cast, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.runs.models import Metric, MetricBlock, Run
from app.runs.queries.thinning import Stretches, thinned

FEW_BLOCKS = 12  # below so many every step is read: it takes no longer
MOST_NEW = 20_000  # steps that one poll reads

Row = tuple[int, float, int, float, int, float]


def curves_of(
    session: Session, *, run: Run, names: Sequence[str], after_step: int = -1, points: int = 1000
) -> tuple[dict[str, JsonObject], int]:
    """For each metric `{step, value}` after a step, thinned to about so many points; the last step.

    What several attempts logged counts as `metrics_of` says.
    """
    rows: dict[str, list[Row]] = {name: [] for name in names}
    ranges: Iterable[tuple[int, int | None]] = [(after_step + 1, None)]
    if after_step < 0:
        blocks, ranges = _blocks(session, run=run)
        if blocks:
            _add_blocks(session, run=run, keys=blocks, rows=rows)
    read = after_step
    for first, last in ranges:
        read = max(read, _add_steps(session, run=run, first=first, last=last, rows=rows))
    return {name: thinned(Stretches.of(found), points=points) for name, found in rows.items()}, read


def _counts(run: Run) -> list[ColumnElement[bool]]:
    """The rows of a run that no later attempt has made again."""
    return [
        Metric.run_id == run.id,
        or_(Metric.attempt == run.attempt, Metric.step <= run.start_step),
    ]


def _blocks(
    session: Session, *, run: Run
) -> tuple[list[tuple[int, int]], Iterable[tuple[int, int | None]]]:
    """(block, attempt) of those that stand for their steps, and the ranges of steps left over.

    The first and the last block are read step by step, for their ends; so is one in which an
    attempt took over from another.
    """
    held = session.execute(
        select(
            MetricBlock.block, MetricBlock.attempt, MetricBlock.first_step, MetricBlock.last_step
        )
        .where(MetricBlock.run_id == run.id)
        .order_by(MetricBlock.block, MetricBlock.attempt)
    ).all()
    size = MetricBlock.SIZE
    begins: dict[int, int] = {}
    best: dict[int, tuple[int, int]] = {}  # block → attempt, first step
    for block, attempt, first, last in held:
        begins[block] = min(first, begins.get(block, first))
        if attempt == run.attempt or last <= run.start_step:
            best[block] = (attempt, first)
    usable = [(b, a) for b, (a, first) in best.items() if b > 0 and first == begins[b]]
    if len(usable) < FEW_BLOCKS:
        return [], [(0, None)]
    return usable, _between([block for block, _ in usable], size=size)


def _between(blocks: Sequence[int], *, size: int) -> Iterable[tuple[int, int | None]]:
    """The ranges of steps that no block stands for; the last one is open."""
    following = 0
    for block in blocks:
        if block > following:
            yield following * size, block * size - 1
        following = block + 1
    yield following * size, None


def _add_blocks(
    session: Session, *, run: Run, keys: Sequence[tuple[int, int]], rows: dict[str, list[Row]]
) -> None:
    attempts = dict(keys)
    found = session.execute(  # whole: each name alone would unpack them once more
        select(MetricBlock.block, MetricBlock.attempt, MetricBlock.values).where(
            MetricBlock.run_id == run.id, MetricBlock.block.in_(attempts)
        )
    )
    for block, attempt, values in found:
        if attempts[block] != attempt:
            continue
        for name, stretches in rows.items():
            if (figure := values.get(name)) is not None:
                low, high = figure["min"], figure["max"]
                stretches.append((figure["n"], figure["mean"], *low, *high))


def _add_steps(
    session: Session, *, run: Run, first: int, last: int | None, rows: dict[str, list[Row]]
) -> int:
    """Add every step of a range; the last one that was read."""
    steps = select(Metric.step, *(_number(name) for name in rows)).where(
        *_counts(run), Metric.step >= first
    )
    if last is not None:
        steps = steps.where(Metric.step <= last)
    found = session.execute(
        steps.ext(distinct_on(Metric.step))
        .order_by(Metric.step, Metric.attempt.desc())
        .limit(MOST_NEW)
    )
    step = first - 1
    for step, *values in found:
        for name, value in zip(rows, values, strict=True):
            if value is not None:
                rows[name].append((1, value, step, value, step, value))
    return step


def _number(name: str) -> ColumnElement[Any]:
    """A metric as a number; null where it was not logged, or was none."""
    value = Metric.values[name]
    return case((func.jsonb_typeof(value) == "number", cast(value, Float)), else_=None)
