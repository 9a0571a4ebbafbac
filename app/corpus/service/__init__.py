"""Filling the corpus: prompts and responses in bulk, and imports from request to end."""

from app.corpus.service.checks import (
    KEPT_FOR,
    check_again,
    commit_check,
    discard_check,
    expire_checks,
    forget_check,
    remove_files,
    throw_checks_away,
)
from app.corpus.service.contents import (
    PreparedPrompts,
    add_prompts,
    add_responses,
    prepare_prompts,
)
from app.corpus.service.erasing import forget_reports
from app.corpus.service.imports import (
    MAX_ERRORS,
    cancel_import,
    end_interrupted,
    finish_import,
    give_back_import,
    new_import,
    note_progress,
    request_import,
    start_import,
)
from app.corpus.service.undoing import (
    note_undone,
    remove_unused_prompts,
    remove_unused_responses,
    request_undo,
    start_undo,
    unanswered_prompts,
)

__all__ = [
    "KEPT_FOR",
    "MAX_ERRORS",
    "PreparedPrompts",
    "add_prompts",
    "add_responses",
    "cancel_import",
    "check_again",
    "commit_check",
    "discard_check",
    "end_interrupted",
    "expire_checks",
    "finish_import",
    "forget_check",
    "forget_reports",
    "give_back_import",
    "new_import",
    "note_progress",
    "note_undone",
    "prepare_prompts",
    "remove_files",
    "remove_unused_prompts",
    "remove_unused_responses",
    "request_import",
    "request_undo",
    "start_import",
    "start_undo",
    "throw_checks_away",
    "unanswered_prompts",
]
