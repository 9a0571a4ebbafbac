"""Filling the corpus: prompts and responses in bulk, and imports from request to end."""

from app.corpus.service.contents import add_prompts, add_responses
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

__all__ = [
    "MAX_ERRORS",
    "add_prompts",
    "add_responses",
    "cancel_import",
    "end_interrupted",
    "finish_import",
    "give_back_import",
    "new_import",
    "note_progress",
    "request_import",
    "start_import",
]
