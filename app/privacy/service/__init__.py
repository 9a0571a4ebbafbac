"""Erasing people, saying where their work went, and repeating it after a restore."""

from app.privacy.service.erasing import erase, reach
from app.privacy.service.files import remove_files
from app.privacy.service.repeating import Repeated, known, repeat
from app.privacy.service.tracing import trace
from app.runs.service import look_through

__all__ = ["Repeated", "erase", "known", "look_through", "reach", "remove_files", "repeat", "trace"]
