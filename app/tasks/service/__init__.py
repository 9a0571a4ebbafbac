"""Writes of tasks and assignments: open, claim, renew, give back, skip, complete; gold keys."""

from app.tasks.service.admitting import allow_attempt, ask_again, let_in
from app.tasks.service.appealing import appeal_pause, appeal_question, settle
from app.tasks.service.asking import ask_for_more, ask_no_more, ask_of_each
from app.tasks.service.claiming import claim, free_expired, lock_member
from app.tasks.service.closing import call_back, close_tasks, reopen_tasks, retire
from app.tasks.service.erasing import forget_texts, give_all_back
from app.tasks.service.finishing import complete, release, renew, skip
from app.tasks.service.gold import (
    put_in_work,
    set_gold,
    suspend_key,
    unset_gold,
    uphold_key,
)
from app.tasks.service.opening import (
    PreparedTasks,
    hold_opening,
    lock_opening,
    open_prepared,
    open_tasks,
    prepare_tasks,
    require_rankable,
    set_overlap,
    try_lock_opening,
)
from app.tasks.service.qualifying import rescore, score
from app.tasks.service.removing import remove_unused

__all__ = [
    "PreparedTasks",
    "allow_attempt",
    "appeal_pause",
    "appeal_question",
    "ask_again",
    "ask_for_more",
    "ask_no_more",
    "ask_of_each",
    "call_back",
    "claim",
    "close_tasks",
    "complete",
    "forget_texts",
    "free_expired",
    "give_all_back",
    "hold_opening",
    "let_in",
    "lock_member",
    "lock_opening",
    "open_prepared",
    "open_tasks",
    "prepare_tasks",
    "put_in_work",
    "release",
    "remove_unused",
    "renew",
    "reopen_tasks",
    "require_rankable",
    "rescore",
    "retire",
    "score",
    "set_gold",
    "set_overlap",
    "settle",
    "skip",
    "suspend_key",
    "try_lock_opening",
    "unset_gold",
    "uphold_key",
]
