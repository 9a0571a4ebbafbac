"""Changes to runs: what people ask for (launching), and what a worker may write (attempts)."""

from app.runs.service.attempts import (
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
from app.runs.service.estimating import estimate
from app.runs.service.launching import cancel, launch, launch_chain, resume
from app.runs.service.lease import Lease
from app.runs.service.origins import look_through

__all__ = [
    "Lease",
    "cancel",
    "cancelled",
    "estimate",
    "fail",
    "hold",
    "keep_base",
    "launch",
    "launch_chain",
    "look_through",
    "record",
    "release",
    "requeue_lost",
    "resume",
    "save",
    "start",
    "succeed",
    "tell",
]
