"""From a checkpoint back to every judgement it learned from."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import artifacts
from app.datasets.models import (
    Snapshot,
    SnapshotAnnotator,
    SnapshotEndpoint,
    SnapshotWriter,
)
from app.db import JsonObject
from app.errors import NotFound
from app.runs.models import Checkpoint, Run

MOST_IDS = 10_000  # annotations named one by one; the manifest has them all


@dataclass(frozen=True, slots=True)
class Step:
    """A checkpoint with the run and the snapshot it came from, and what the run built on."""

    checkpoint: Checkpoint
    run: Run | None
    snapshot: Snapshot | None
    parent: "Step | None"
    reward: "Step | None"


def ancestry(session: Session, *, checkpoint: Checkpoint) -> Step:
    """The checkpoint and everything that led to it, as a tree."""
    run = session.get(Run, checkpoint.run_id) if checkpoint.run_id else None
    snapshot = session.get(Snapshot, run.snapshot_id) if run else None

    def of(checkpoint_id: UUID | None) -> Step | None:
        if checkpoint_id is None:
            return None
        return ancestry(session, checkpoint=session.get_one(Checkpoint, checkpoint_id))

    return Step(
        checkpoint,
        run,
        snapshot,
        parent=of(checkpoint.parent_id),
        reward=of(run.reward_checkpoint_id if run else None),
    )


def erased_snapshots(session: Session, *, run: Run) -> list[Snapshot]:
    """Those that hold judgements erased since, of all that a run learns from."""
    snapshots = {run.snapshot_id: session.get_one(Snapshot, run.snapshot_id)}
    above = [run.parent_checkpoint_id, run.reward_checkpoint_id]
    for checkpoint_id in filter(None, above):
        checkpoint = session.get_one(Checkpoint, checkpoint_id)
        for step in _steps(ancestry(session, checkpoint=checkpoint)):
            if step.snapshot is not None:
                snapshots[step.snapshot.id] = step.snapshot
    return [snapshot for snapshot in snapshots.values() if snapshot.erased_at is not None]


def _steps(step: Step | None) -> Iterator[Step]:
    """A step and everything that led to it."""
    if step is not None:
        yield step
        yield from _steps(step.parent)
        yield from _steps(step.reward)


def lineage(session: Session, *, checkpoint: Checkpoint) -> JsonObject:
    """The tree as JSON, and over all of it the snapshots, judgements, people and guidelines."""
    root = ancestry(session, checkpoint=checkpoint)
    snapshots: dict[UUID, JsonObject] = {}
    tree = _as_json(root, snapshots)
    annotators: Counter[str] = Counter()
    versions: Counter[int] = Counter()
    annotations: dict[str, None] = {}
    for snapshot_id, found in snapshots.items():
        origins = _origins(session, snapshot_id, found)
        annotations |= dict.fromkeys(origins.annotations)
        found["annotations"] = len(origins.annotations)
        found["annotators"] = dict(origins.annotators)
        found["guidelines_versions"] = [version for version, _ in origins.versions]
        found["written_by"] = written_by(session, snapshot_id)
        annotators.update(dict(origins.annotators))
        versions.update(dict(origins.versions))
        del found["path"]
    return {
        **tree,
        "snapshots": list(snapshots.values()),
        "annotations": {"count": len(annotations), "ids": list(annotations)[:MOST_IDS]},
        "annotators": sorted(annotators),
        "guidelines_versions": sorted(versions),
    }


def _as_json(step: Step, snapshots: dict[UUID, JsonObject]) -> JsonObject:
    run, snapshot = step.run, step.snapshot
    if snapshot is not None and snapshot.id not in snapshots:
        snapshots[snapshot.id] = {
            "id": str(snapshot.id),
            "name": snapshot.name,
            "recipe": snapshot.recipe,
            "counts": snapshot.counts,
            "erased_at": snapshot.erased_at and snapshot.erased_at.isoformat(),
            "files_removed_at": snapshot.files_removed_at and snapshot.files_removed_at.isoformat(),
            "path": snapshot.path,
        }
    return {
        "checkpoint": {
            "id": str(step.checkpoint.id),
            "name": step.checkpoint.name,
            "kind": step.checkpoint.kind,
            "step": step.checkpoint.step,
            "sha256": step.checkpoint.sha256,
            "removed_at": step.checkpoint.removed_at and step.checkpoint.removed_at.isoformat(),
        },
        "run": None
        if run is None
        else {
            "id": str(run.id),
            "name": run.name,
            "kind": run.kind,
            "attempt": run.attempt,
            "base": {key: value for key, value in run.base.items() if key != "path"},
            "config": run.config,
        },
        "snapshot_id": str(snapshot.id) if snapshot else None,
        "parent": _as_json(step.parent, snapshots) if step.parent else None,
        "reward": _as_json(step.reward, snapshots) if step.reward else None,
    }


def written_by(session: Session, snapshot_id: UUID) -> list[JsonObject]:
    """The models that wrote responses judged in a snapshot: what learns from it descends from them.

    An endpoint has a name alone: what stands behind it is not known here.
    """
    rows = session.execute(
        select(Checkpoint.id, Checkpoint.name, SnapshotWriter.judgements)
        .join(SnapshotWriter, SnapshotWriter.checkpoint_id == Checkpoint.id)
        .where(SnapshotWriter.snapshot_id == snapshot_id)
        .order_by(Checkpoint.created_at, Checkpoint.id)
    )
    return [
        {"checkpoint_id": str(row.id), "name": row.name, "judgements": row.judgements}
        for row in rows
    ] + _endpoints(session, snapshot_id)


def _endpoints(session: Session, snapshot_id: UUID) -> list[JsonObject]:
    rows = session.execute(
        select(SnapshotEndpoint.source, SnapshotEndpoint.judgements)
        .where(SnapshotEndpoint.snapshot_id == snapshot_id)
        .order_by(SnapshotEndpoint.source)
    )
    named = [(row.source.removeprefix("endpoint:"), row.judgements) for row in rows]
    return [{"endpoint": name, "name": name, "judgements": number} for name, number in named]


@dataclass(frozen=True, slots=True)
class Origins:
    """The judgements behind a snapshot: their ids, and how many by annotator and by version."""

    annotations: tuple[str, ...]
    annotators: tuple[tuple[str, int], ...]
    versions: tuple[tuple[int, int], ...]

    @classmethod
    def none(cls) -> "Origins":
        return cls((), (), ())


def _origins(session: Session, snapshot_id: UUID, found: JsonObject) -> Origins:
    """By the manifest; where its files were removed, at least who is in it."""
    if found["files_removed_at"] is None:
        return snapshot_origins(found["path"]) if found["path"] else Origins.none()
    kept = session.execute(
        select(SnapshotAnnotator.annotator, SnapshotAnnotator.judgements)
        .where(SnapshotAnnotator.snapshot_id == snapshot_id, SnapshotAnnotator.judgements > 0)
        .order_by(SnapshotAnnotator.annotator)
    )
    return Origins((), tuple((name, number) for name, number in kept), ())


@lru_cache(maxsize=32)
def snapshot_origins(path: str) -> Origins:
    """What the manifest of a snapshot says of its judgements; stored ones never change.

    The lineage is read line by line: a million judgements make 70 MB of it.
    """
    annotations: dict[str, None] = {}
    annotators: Counter[str] = Counter()
    versions: Counter[int] = Counter()
    try:
        manifest = artifacts.open_file(f"{path}/manifest.json")
    except NotFound:
        return Origins.none()
    with manifest:
        found = ""  # the keys on the way to the judgements
        for raw in manifest:
            line = raw.decode().strip()
            if found == "annotations" and line == "}":
                break
            if found == "annotations":
                for annotation, annotator, version in _entry(line):
                    annotations[annotation] = None
                    annotators[annotator] += 1
                    versions[version] += 1
            elif line == '"lineage": {':
                found = "lineage"
            elif found and line == '"annotations": {':
                found = "annotations"
    return Origins(
        tuple(annotations), tuple(sorted(annotators.items())), tuple(sorted(versions.items()))
    )


def _entry(line: str) -> list[list[Any]]:
    """The judgements of one prompt: `"prompt id":[[annotation, annotator, version], …],`."""
    entries: dict[str, list[list[Any]]] = json.loads("{" + line.removesuffix(",") + "}")
    return next(iter(entries.values()), [])
