"""Writes of judgements: submit, change, draft, import; gold keys and overlap that follow."""

from app.annotation.service.gold import set_gold, unset_gold
from app.annotation.service.importing import record_imported
from app.annotation.service.overlap import apply_overlap
from app.annotation.service.submitting import Submission, save_draft, submit

__all__ = [
    "Submission",
    "apply_overlap",
    "record_imported",
    "save_draft",
    "set_gold",
    "submit",
    "unset_gold",
]
