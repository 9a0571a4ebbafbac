"""The right of a worker to write."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write about a run (or a generation): its id and the attempt that holds it."""

    id: UUID
    attempt: int
