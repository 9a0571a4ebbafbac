"""What a model card tells of where a model comes from."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.datasets.models import Snapshot, SnapshotAnnotator, SnapshotGuidelines
from app.db import JsonObject
from app.projects.models import Project
from app.runs.models import Checkpoint, Run
from app.runs.queries.lineage import written_by


@dataclass(frozen=True, slots=True)
class Story:
    """base: a hub id where it began with one; `began`: the same in words."""

    project: str
    run_id: str
    base: str | None
    began: str
    reward: str | None
    snapshot: str
    snapshot_id: str
    identity: str | None
    licence: str | None
    counts: JsonObject
    agreement: tuple[float, float | None, float | None] | None
    sources: list[str]
    annotators: int
    guidelines: list[tuple[int, int]]  # (version, judgements)
    written_by: list[str]


def story_of(session: Session, *, run_id: UUID) -> Story:
    run = session.get_one(Run, run_id)
    snapshot = session.get_one(Snapshot, run.snapshot_id)
    base, began = _began(session, run)
    people = session.scalars(
        select(func.count())
        .select_from(SnapshotAnnotator)
        .where(
            SnapshotAnnotator.snapshot_id == snapshot.id,
            SnapshotAnnotator.judgements > 0,
            SnapshotAnnotator.annotator.like("annotator-%"),
        )
    ).one()
    versions = session.execute(
        select(SnapshotGuidelines.version, SnapshotGuidelines.judgements)
        .where(SnapshotGuidelines.snapshot_id == snapshot.id, SnapshotGuidelines.version > 0)
        .order_by(SnapshotGuidelines.version)
    )
    return Story(
        project=session.get_one(Project, run.project_id).name,
        run_id=str(run.id),
        base=base,
        began=began,
        reward=_called(session, run.reward_checkpoint_id),
        snapshot=snapshot.name,
        snapshot_id=str(snapshot.id),
        identity=snapshot.identity,
        licence=snapshot.recipe.get("license"),
        counts=snapshot.counts,
        agreement=_figure(snapshot.quality.get("percent_agreement")),
        sources=sorted(snapshot.counts.get("origins", {}).get("sources", {})),
        annotators=int(snapshot.quality.get("n_annotators") or people),
        guidelines=[(row.version, row.judgements) for row in versions],
        written_by=[str(each["name"]) for each in written_by(session, snapshot.id)],
    )


def _began(session: Session, run: Run) -> tuple[str | None, str]:
    """What it was trained from; for the hub, the first model of the line."""
    if run.parent_checkpoint_id is not None:
        parent = session.get_one(Checkpoint, run.parent_checkpoint_id)
        before = session.get(Run, parent.run_id) if parent.run_id else None
        base = _began(session, before)[0] if before else None
        return base, f"the checkpoint “{parent.name}” (SHA-256 `{parent.sha256[:16]}…`)"
    if "model" in run.base:
        return str(run.base["model"]), f"`{run.base['model']}`"
    return None, f"a new {run.base.get('new', 'tiny')} model, made from the texts of the snapshot"


def _called(session: Session, checkpoint_id: UUID | None) -> str | None:
    if checkpoint_id is None:
        return None
    return session.get_one(Checkpoint, checkpoint_id).name


def _figure(found: Any) -> tuple[float, float | None, float | None] | None:
    if not isinstance(found, dict) or found.get("value") is None:
        return None
    return found["value"], found.get("low"), found.get("high")
