"""Changes to runs: what people ask for (launching), and what a worker may write (attempts)."""

from app.runs.service.attempts import (
    Lease,
    cancelled,
    fail,
    hold,
    keep_base,
    record,
    release,
    requeue_lost,
    save,
    start,
    succeed,
    tell,
)
from app.runs.service.generations import (
    advance_generation,
    begin_generation,
    cancel_generation,
    end_generation,
    hold_generation,
    open_generation,
    release_generation,
    requeue_lost_generations,
    resume_generation,
)
from app.runs.service.launching import cancel, launch, launch_chain, resume
from app.runs.service.origins import look_through

__all__ = [
    "Lease",
    "advance_generation",
    "begin_generation",
    "cancel",
    "cancel_generation",
    "cancelled",
    "end_generation",
    "fail",
    "hold",
    "hold_generation",
    "keep_base",
    "launch",
    "launch_chain",
    "look_through",
    "open_generation",
    "record",
    "release",
    "release_generation",
    "requeue_lost",
    "requeue_lost_generations",
    "resume",
    "resume_generation",
    "save",
    "start",
    "succeed",
    "tell",
]
