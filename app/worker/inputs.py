"""What a child reads: dataset, models and earlier checkpoints, as folders on this machine."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app import artifacts
from app.artifacts import StoredFile
from app.datasets.models import Snapshot
from app.db import JsonObject
from app.errors import Conflict
from app.runs.models import Checkpoint, Run
from app.runs.service import gone


@dataclass(frozen=True)
class ModelSource:
    """Where a checkpoint lies in the artifact store, and what lies under it if it is an adapter."""

    path: str
    files: tuple[StoredFile, ...] = ()  # as they were registered; none where they were not
    base: "ModelSource | None" = None
    base_name: str | None = None  # a hub id or a path outside the store
    gone: str | None = None  # why its weights are not there


@dataclass(frozen=True)
class Plan:
    """What the database says about a run, so that nothing is asked while it goes on."""

    kind: str
    config: JsonObject
    dataset: ModelSource  # folder of the snapshot in the artifact store
    base: JsonObject
    parent: ModelSource | None
    reward: ModelSource | None
    saved: list[JsonObject]  # steps to resume from, the newest first: {step, path, sha256?}
    device: str | None  # asked for, else that of the worker


def plan_of(session: Session, *, run_id: UUID) -> Plan:
    run = session.get_one(Run, run_id)
    snapshot = session.get_one(Snapshot, run.snapshot_id)
    return Plan(
        kind=run.kind.value,
        config=run.config,
        dataset=ModelSource(snapshot.path or "", registered(snapshot.files)),
        base=run.base,
        parent=model_source(session, checkpoint_id=run.parent_checkpoint_id),
        reward=model_source(session, checkpoint_id=run.reward_checkpoint_id),
        saved=list(run.saved),
        device=run.needs.get("device"),
    )


def registered(files: Sequence[Mapping[str, Any]]) -> tuple[StoredFile, ...]:
    return tuple(StoredFile(file["path"], file["bytes"], file["sha256"]) for file in files)


def model_source(session: Session, *, checkpoint_id: UUID | None) -> ModelSource | None:
    """The checkpoint, and for an adapter the models under it, down to the first whole one."""
    if checkpoint_id is None:
        return None
    checkpoint = session.get_one(Checkpoint, checkpoint_id)
    files = registered(checkpoint.files)
    source = ModelSource(
        checkpoint.path,
        files,
        gone=gone(checkpoint, checkpoint.removed_at) if checkpoint.removed_at else None,
    )
    run = session.get(Run, checkpoint.run_id) if checkpoint.run_id else None
    if "adapter_config.json" not in {file.path for file in files} or run is None:
        return source
    if checkpoint.parent_id is not None:
        return replace(source, base=model_source(session, checkpoint_id=checkpoint.parent_id))
    if "path" in run.base:
        return replace(source, base=ModelSource(run.base["path"]))
    return replace(source, base_name=run.base.get("model"))


@contextlib.contextmanager
def materialised(source: ModelSource) -> Iterator[Path]:
    """The checkpoint as a folder here; an adapter names its base as it lies here, too."""
    with ExitStack() as stack:
        if source.gone:
            raise Conflict(source.gone)
        folder = stack.enter_context(fetched(source))
        if source.base is None and source.base_name is None:
            yield folder
            return
        base = source.base_name or str(
            stack.enter_context(materialised(source.base or ModelSource("")))
        )
        copy = stack.enter_context(artifacts.workspace()) / "model"
        copy_tree(folder, copy)
        file = copy / "adapter_config.json"
        adapter = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()  # a link to the stored one, which never changes
        file.write_text(json.dumps(adapter | {"base_model_name_or_path": base}), encoding="utf-8")
        yield copy


@contextlib.contextmanager
def fetched(source: ModelSource) -> Iterator[Path]:
    """The stored folder as one here, once it is clear that its files are what was registered."""
    with artifacts.local_folder(source.path, files=source.files) as folder:
        yield folder


def settings_file(stack: ExitStack, plan: Plan, folder: Path) -> Path:
    """The settings of a child; its reward model lies here for as long as `stack` is open."""
    config = dict(plan.config)
    if plan.reward is not None:
        config["reward_model_path"] = str(stack.enter_context(materialised(plan.reward)))
    file = folder / "settings.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def digest_of(folder: Path) -> str:
    """One SHA-256 of a folder as it lies here, as the artifact store has it."""
    return artifacts.folder_digest(
        StoredFile(file.relative_to(folder).as_posix(), 0, artifacts.digest(file))
        for file in folder.rglob("*")
        if file.is_file()
    )


def corpus_of(dataset: Path) -> list[Path]:
    """The training files of a snapshot from which a new model learns to write."""
    for config in ("ranking", "preference", "sft", "unpaired", "prompts"):
        files = sorted(dataset.glob(f"{config}/train.*"))
        if files:
            return files
    return []


def checkpoint_steps(run_folder: Path) -> list[int]:
    """The steps of which the trainer has written a whole checkpoint."""
    names = [folder.name for folder in (run_folder / "checkpoints").glob("step-*")]
    return sorted(int(name[5:]) for name in names if name[5:].isdigit())


def copy_tree(source: Path, target: Path) -> None:
    """A copy that shares the files' bytes where the file system lets it: nothing rewrites them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, copy_function=_link_or_copy)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object that another process wrote; empty where there is none that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
