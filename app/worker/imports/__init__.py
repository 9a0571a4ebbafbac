"""Bringing files into a project, as a job and from the command line."""

from app.worker.imports.expiring import expire
from app.worker.imports.job import import_file, import_upload, run_import
from app.worker.imports.undoing import undo_import, undo_upload

__all__ = ["expire", "import_file", "import_upload", "run_import", "undo_import", "undo_upload"]
