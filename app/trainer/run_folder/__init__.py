"""The run folder: settings, metrics, samples, checkpoints, result; the one way out of a loop."""

from app.trainer.run_folder.console import (
    Progress,
)
from app.trainer.run_folder.files import (
    read_config,
)
from app.trainer.run_folder.folder import (
    FOR_PEOPLE,
    WARNINGS,
    RunFolder,
    unreadable,
)

__all__ = [
    "FOR_PEOPLE",
    "WARNINGS",
    "Progress",
    "RunFolder",
    "read_config",
    "unreadable",
]
