"""What a worker may write about a generation: guarded by its attempt, as a run's is."""

from sqlalchemy.orm import Session

from app.generation.models import Generation
from app.jobs import JobName
from app.runs.service.lease import Lease, Work

WORK = Work(Generation, JobName.GENERATE, "generation_id")

begin_generation = WORK.begin
hold_generation = WORK.hold
end_generation = WORK.end
release_generation = WORK.release
requeue_lost_generations = WORK.requeue_lost


def advance_generation(session: Session, *, lease: Lease, done: int, tasks_opened: int) -> bool:
    """Count prompts that got their responses, in the transaction that stores these."""
    return hold_generation(
        session,
        lease=lease,
        done=Generation.done + done,
        tasks_opened=Generation.tasks_opened + tasks_opened,
    )
