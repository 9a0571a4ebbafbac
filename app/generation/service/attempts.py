"""What a worker may write about a generation: guarded by its attempt, as a run's is."""

from uuid import UUID

from sqlalchemy.orm import Session

from app.generation import queries
from app.generation.models import Generation
from app.jobs import JobName, Lane
from app.runs.service.lease import Lease, Work


def lane_of(session: Session, generation_id: UUID) -> Lane:
    """Requests to other servers wait for no training; whatever loads a model takes its turn."""
    generation = session.get_one(Generation, generation_id)
    return Lane.ASK if queries.is_by_endpoints(session, generation=generation) else Lane.TRAIN


WORK = Work(Generation, JobName.GENERATE, "generation_id", lane_of)

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
