"""Changes to runs: what people ask for (launching), and what a worker may write (attempts)."""

from app.runs.service.attempts import (
    cancelled,
    fail,
    fall_back,
    hold,
    keep_base,
    record,
    release,
    requeue_forgotten,
    requeue_lost,
    retry,
    save,
    start,
    succeed,
    tell,
)
from app.runs.service.estimating import estimate
from app.runs.service.launching import cancel, launch, launch_chain, resume
from app.runs.service.lease import Lease

__all__ = [
    "Lease",
    "cancel",
    "cancelled",
    "estimate",
    "fail",
    "fall_back",
    "hold",
    "keep_base",
    "launch",
    "launch_chain",
    "record",
    "release",
    "requeue_forgotten",
    "requeue_lost",
    "resume",
    "retry",
    "save",
    "start",
    "succeed",
    "tell",
]
