"""Writes of judgements: submit, change, draft, import; gold keys and overlap that follow."""

from app.annotation.service.gold import set_gold, unset_gold
from app.annotation.service.importing import (
    PreparedJudgements,
    Surroundings,
    prepare_imported,
    record_imported,
    record_prepared,
)
from app.annotation.service.overlap import apply_overlap, claim, spare_overlap
from app.annotation.service.removing import (
    Removable,
    forget_meta,
    lock_work,
    projects_of_work,
    removable,
    remove_judgements,
    remove_texts,
)
from app.annotation.service.requeue import (
    Reach,
    Restored,
    Which,
    reach,
    requeue,
    undo_requeue,
)
from app.annotation.service.returning import release, skip
from app.annotation.service.submitting import Submission, save_draft, submit
from app.annotation.service.telling import discount_told
from app.annotation.service.unimporting import recount_imported, take_back_imported
from app.annotation.service.withdrawing import restore_gold, withdraw_gold

__all__ = [
    "PreparedJudgements",
    "Reach",
    "Removable",
    "Restored",
    "Submission",
    "Surroundings",
    "Which",
    "apply_overlap",
    "claim",
    "discount_told",
    "forget_meta",
    "lock_work",
    "prepare_imported",
    "projects_of_work",
    "reach",
    "record_imported",
    "record_prepared",
    "recount_imported",
    "release",
    "removable",
    "remove_judgements",
    "remove_texts",
    "requeue",
    "restore_gold",
    "save_draft",
    "set_gold",
    "skip",
    "spare_overlap",
    "submit",
    "take_back_imported",
    "undo_requeue",
    "unset_gold",
    "withdraw_gold",
]
