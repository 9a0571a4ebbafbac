"""Changes to rounds: opening one, what moves it on by itself, and what people do to it."""

from app.rounds.service.deeds import (
    DEEDS,
    begin_step,
    end,
    pause,
    skip_step,
    try_again,
    unpause,
)
from app.rounds.service.moving import at_work, look
from app.rounds.service.opening import open_round, set_policy
from app.rounds.service.simulated import let_simulated_judge

__all__ = [
    "DEEDS",
    "at_work",
    "begin_step",
    "end",
    "let_simulated_judge",
    "look",
    "open_round",
    "pause",
    "set_policy",
    "skip_step",
    "try_again",
    "unpause",
]
