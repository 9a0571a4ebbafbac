"""Long curves in blocks: what is logged is summed up as it comes, so that nobody reads it all."""

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.runs.models import MetricBlock
from app.runs.service.lease import Lease

# The order of the steps breaks ties, so that the same rows make the same block.
SUM_UP = text(
    """
    INSERT INTO metric_block (run_id, attempt, block, first_step, last_step, values)
    SELECT :run_id, :attempt, block, min(first_step), max(last_step),
           jsonb_object_agg(key, figures)
    FROM (
        SELECT step / :size AS block, key, min(step) AS first_step, max(step) AS last_step,
               jsonb_build_object(
                   'n', count(*), 'mean', avg(value::numeric),
                   'min', (array_agg(jsonb_build_array(step, value)
                                     ORDER BY value::numeric, step))[1],
                   'max', (array_agg(jsonb_build_array(step, value)
                                     ORDER BY value::numeric DESC, step))[1]
               ) AS figures
        FROM metric CROSS JOIN LATERAL jsonb_each(values) AS entry(key, value)
        WHERE run_id = :run_id AND attempt = :attempt AND step >= :start AND step < :upto
          AND jsonb_typeof(value) = 'number'
        GROUP BY step / :size, key
    ) AS each_metric
    GROUP BY block
    ON CONFLICT DO NOTHING
    """
)


def sum_up(session: Session, *, lease: Lease, step: int) -> None:
    """Sum up the blocks of the attempt that are complete now that `step` has been logged."""
    size = MetricBlock.SIZE
    last = session.scalar(
        select(func.max(MetricBlock.block)).where(
            MetricBlock.run_id == lease.id, MetricBlock.attempt == lease.attempt
        )
    )
    start, upto = (0 if last is None else last + 1) * size, step // size * size
    if start < upto:
        session.execute(
            SUM_UP,
            {
                "run_id": lease.id,
                "attempt": lease.attempt,
                "size": size,
                "start": start,
                "upto": upto,
            },
        )
