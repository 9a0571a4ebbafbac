"""The card of a checkpoint as people read it on its page."""

from app import artifacts
from app.errors import AppError
from app.runs.models import Checkpoint

MOST = 200_000  # bytes; one that is larger is not ours


def card_of(checkpoint: Checkpoint) -> str | None:
    """Its README.md without the YAML head; None where there is none (any more)."""
    if checkpoint.removed_at is not None:
        return None
    if not any(file["path"] == "README.md" for file in checkpoint.files):
        return None
    try:
        with artifacts.open_file(f"{checkpoint.path}/README.md") as file:
            text = file.read(MOST).decode("utf-8", "replace")
    except (AppError, OSError):
        return None
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    return text.strip() or None
