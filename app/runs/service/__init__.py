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
from app.runs.service.cleaning import (
    ask_for_clean_up,
    ask_for_daily_clean_ups,
    clean_up,
    folders_left_behind,
    gone,
    no_files,
    remove_weights,
    require_weights,
    set_retention,
)
from app.runs.service.estimating import estimate
from app.runs.service.launching import cancel, launch, launch_chain, resume, set_priority
from app.runs.service.lease import Lease
from app.runs.service.origins import look_through

__all__ = [
    "Lease",
    "ask_for_clean_up",
    "ask_for_daily_clean_ups",
    "cancel",
    "cancelled",
    "clean_up",
    "estimate",
    "fail",
    "fall_back",
    "folders_left_behind",
    "gone",
    "hold",
    "keep_base",
    "launch",
    "launch_chain",
    "look_through",
    "no_files",
    "record",
    "release",
    "remove_weights",
    "requeue_forgotten",
    "requeue_lost",
    "require_weights",
    "resume",
    "retry",
    "save",
    "set_priority",
    "set_retention",
    "start",
    "succeed",
    "tell",
]
