"""Writes of datasets: the life of a snapshot, its freezing, and what a recipe would give."""

from app.datasets.service.freezing import Frozen, freeze
from app.datasets.service.lifecycle import (
    Lease,
    attempt_folder,
    fail,
    give_back,
    hold,
    request,
    retry,
    start,
    succeed,
)
from app.datasets.service.moving import export_project
from app.datasets.service.preview import Preview, preview

__all__ = [
    "Frozen",
    "Lease",
    "Preview",
    "attempt_folder",
    "export_project",
    "fail",
    "freeze",
    "give_back",
    "hold",
    "preview",
    "request",
    "retry",
    "start",
    "succeed",
]
