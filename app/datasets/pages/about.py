"""What the page of a snapshot says besides counts and rows: pictures, uses, how to load it."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session

from app.datasets.formats.names import file_name
from app.datasets.formats.pictures import pictures
from app.datasets.models import Snapshot
from app.datasets.pages.looking import row_helpers
from app.datasets.queries.comparisons import frozen_before
from app.datasets.rules.origins import shares
from app.datasets.service import looking
from app.errors import AppError
from app.projects.models import Project


def about(
    request: Request, session: Session, *, project: Project, snapshot: Snapshot
) -> Mapping[str, Any]:
    """For the template; of one that is not frozen there is nothing to say."""
    helpers = {**row_helpers(project.criteria), "origins": _origins(snapshot)}
    if snapshot.folder is None:
        return helpers
    seen = _pictures(snapshot)
    address = request.app.url_path_for("snapshot_archive", snapshot_id=snapshot.id)
    return {
        **helpers,
        "pictures": seen,
        "agreement": _agreement_bars(seen["agreement"]) if seen else [],
        "uses": looking.uses(session, snapshot),
        "earlier": frozen_before(session, snapshot=snapshot),
        "identity": snapshot.identity,
        "archive": str(request.base_url).rstrip("/") + str(address),
        "folder_name": file_name(snapshot.name),
    }


def _pictures(snapshot: Snapshot) -> Mapping[str, Any] | None:
    """None as well where the files cannot be read: the page still shows all else."""
    try:
        return pictures(snapshot.folder) if snapshot.folder else None
    except AppError:
        return None


def _origins(snapshot: Snapshot) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Languages and sources of the prompts by their share, where any is known."""
    known = snapshot.counts.get("origins", {})
    return [
        (name, shares(known[kind], most=8))
        for kind, name in (("languages", "Language"), ("sources", "Source"))
        if known.get(kind, {}).get("named")
    ]


def _agreement_bars(numbers: list[int]) -> list[tuple[str, int]]:
    """(from–to, comparisons); less than half agree only where rankings are circular."""
    step = 100 // len(numbers)
    return [
        (f"{step * place}–{step * place + step} % agree", number)
        for place, number in enumerate(numbers)
        if number or step * place >= 50
    ]
