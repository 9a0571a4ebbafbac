"""Writes of datasets: the life of a snapshot, its freezing, and what a recipe would give."""

from app.datasets.service.erasing import (
    mark_erased,
    name_by_id,
    remember_annotators,
    remember_origins,
    remove_files,
)
from app.datasets.service.freezing import Frozen, freeze
from app.datasets.service.lifecycle import (
    Lease,
    attempt_folder,
    correct,
    fail,
    give_back,
    hold,
    request,
    retry,
    start,
    succeed,
)
from app.datasets.service.moving import export_project
from app.datasets.service.preview import GLANCE, PATIENCE, Preview, count_all, preview
from app.datasets.service.sweeping import folders_left_behind

__all__ = [
    "GLANCE",
    "PATIENCE",
    "Frozen",
    "Lease",
    "Preview",
    "attempt_folder",
    "correct",
    "count_all",
    "export_project",
    "fail",
    "folders_left_behind",
    "freeze",
    "give_back",
    "hold",
    "mark_erased",
    "name_by_id",
    "preview",
    "remember_annotators",
    "remember_origins",
    "remove_files",
    "request",
    "retry",
    "start",
    "succeed",
]
