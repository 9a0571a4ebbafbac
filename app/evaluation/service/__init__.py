"""Writes of evaluations and promotions.

For other packages: `open_evaluation` asks for one, `settle` closes it once it is decided, `promote`
makes a checkpoint the project's writer; `queries.verdict` says how an evaluation stands.
"""

from app.evaluation.service.attempts import requeue_lost_evaluations
from app.evaluation.service.judging import (
    close_again,
    close_evaluation,
    reopen_evaluation,
    settle,
)
from app.evaluation.service.opening import (
    cancel_evaluation,
    open_evaluation,
    resume_evaluation,
)
from app.evaluation.service.promoting import (
    earns,
    promote,
    promote_by_id,
    promote_if_earned,
    set_rule,
    undo_promotion,
)

__all__ = [
    "cancel_evaluation",
    "close_again",
    "close_evaluation",
    "earns",
    "open_evaluation",
    "promote",
    "promote_by_id",
    "promote_if_earned",
    "reopen_evaluation",
    "requeue_lost_evaluations",
    "resume_evaluation",
    "set_rule",
    "settle",
    "undo_promotion",
]
