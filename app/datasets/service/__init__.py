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
from app.datasets.service.preview import GLANCE, PATIENCE, Preview, count_all, preview

__all__ = [
    "GLANCE",
    "PATIENCE",
    "Frozen",
    "Lease",
    "Preview",
    "attempt_folder",
    "count_all",
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
