"""Reads of tasks, their responses, and what people hold."""

from app.tasks.queries.appeals import (
    AppealLine,
    appeal_in,
    appeal_of,
    number_of_open_appeals,
    open_appeals,
    settled_appeals,
)
from app.tasks.queries.contents import (
    Contents,
    contents,
    gold_in_force,
    gold_keys,
    project_and_task,
    question_key,
    responses_of,
)
from app.tasks.queries.nothing import (
    why_nothing,
)
from app.tasks.queries.people import (
    daily_limit,
    limit_reached,
    open_assignments,
    submitted_since,
    total_limit,
    wanted_in_all,
)
from app.tasks.queries.qualification import (
    NEW_QUESTION,
    attempts_of,
    must_qualify,
    qualification_of,
    unanswered,
)
from app.tasks.queries.takers import Taker, takers
from app.tasks.queries.wanted import (
    AN_ORDINARY_TASK,
    IS_GOLD,
    IS_OPEN,
    IS_ORDINARY,
    IS_QUALIFICATION,
    REPEATED_TASK,
    gold_task,
    has_lanes,
    most_wanted,
    skills,
    top_priority,
    wanted_task,
)

__all__ = [
    "AN_ORDINARY_TASK",
    "IS_GOLD",
    "IS_OPEN",
    "IS_ORDINARY",
    "IS_QUALIFICATION",
    "NEW_QUESTION",
    "REPEATED_TASK",
    "AppealLine",
    "Contents",
    "Taker",
    "appeal_in",
    "appeal_of",
    "attempts_of",
    "contents",
    "daily_limit",
    "gold_in_force",
    "gold_keys",
    "gold_task",
    "has_lanes",
    "limit_reached",
    "most_wanted",
    "must_qualify",
    "number_of_open_appeals",
    "open_appeals",
    "open_assignments",
    "project_and_task",
    "qualification_of",
    "question_key",
    "responses_of",
    "settled_appeals",
    "skills",
    "submitted_since",
    "takers",
    "top_priority",
    "total_limit",
    "unanswered",
    "wanted_in_all",
    "wanted_task",
    "why_nothing",
]
