"""The run folder: settings, metrics, samples, checkpoints, result; the one way out of a loop."""

from app.trainer.run_folder.console import (
    Progress,
)
from app.trainer.run_folder.files import (
    read_config,
)
from app.trainer.run_folder.folder import (
    RunFolder,
)

__all__ = [
    "Progress",
    "RunFolder",
    "read_config",
]
