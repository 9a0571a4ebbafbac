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
from app.runs.service.launching import cancel, launch, launch_chain, resume

__all__ = [
    "Lease",
    "cancel",
    "cancelled",
    "fail",
    "hold",
    "keep_base",
    "launch",
    "launch_chain",
    "record",
    "release",
    "requeue_lost",
    "resume",
    "save",
    "start",
    "succeed",
    "tell",
]
