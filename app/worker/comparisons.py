"""The job that compares two large snapshots."""

import threading
from contextlib import suppress
from uuid import UUID

import structlog
from procrastinate import JobContext

from app import artifacts
from app.datasets.queries.comparisons import comparison_parts
from app.datasets.service import comparisons
from app.datasets.service.comparisons import Beat, ComparisonLease
from app.db import transaction
from app.errors import AppError, LeaseLost, Stopped
from app.jobs import JobName, queue
from app.worker.lease import Pulse

log = structlog.get_logger(__name__)


@queue.task(name=JobName.COMPARISON, pass_context=True)
def comparison(context: JobContext, *, comparison_id: str) -> None:
    """Compare two snapshots."""
    run_comparison(UUID(comparison_id), stopping=context.additional_context["stopping"])


def run_comparison(comparison_id: UUID, *, stopping: threading.Event) -> None:
    """Make a queued comparison; once `stopping` is set, put it back for another worker."""
    with transaction() as session:
        lease = comparisons.start_comparison(session, comparison_id=comparison_id)
    if lease is None:
        return
    passed = 0
    pulse = Pulse(
        lambda session: comparisons.hold_comparison(session, lease=lease, done=passed),
        stopping=stopping,
    )

    def beat(done: int) -> None:
        nonlocal passed
        passed = done
        pulse.check(lease)

    try:
        with pulse:
            _make(lease, beat=beat)
    except LeaseLost:
        log.warning("lost the comparison to another attempt", comparison_id=str(comparison_id))
    except Stopped:
        with transaction() as session:
            comparisons.give_back_comparison(session, lease=lease)


def _make(lease: ComparisonLease, *, beat: Beat) -> None:
    try:
        with transaction() as session:
            before, after = comparison_parts(session, comparison_id=lease.id)
            summary = comparisons.make_comparison(
                session, lease=lease, before=before, after=after, beat=beat
            )
        try:
            with transaction() as session:
                comparisons.finish_comparison(session, lease=lease, summary=summary)
        except BaseException:
            artifacts.remove(comparisons.comparison_folder(lease))  # nobody registered it
            raise
        with suppress(OSError):
            artifacts.remove_beside(comparisons.comparison_folder(lease))
    except (LeaseLost, Stopped):
        raise
    except AppError as error:
        _fail(lease, error.detail)
    except OSError as error:
        log.exception("comparison failed", comparison_id=str(lease.id))
        _fail(lease, f"The files could not be read or written: {error.strerror or error}.")
    except Exception:
        _fail(lease, "This is our mistake, and the log of the worker has the details.")
        raise


def _fail(lease: ComparisonLease, error: str) -> None:
    with transaction() as session:
        comparisons.fail_comparison(session, lease=lease, error=error)
