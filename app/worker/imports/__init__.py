"""Bringing files into a project, as a job and from the command line."""

from app.worker.imports.job import import_file, import_upload, run_import

__all__ = ["import_file", "import_upload", "run_import"]
