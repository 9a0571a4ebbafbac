"""Snapshots, runs and checkpoints for tests, as rows alone or with files in the store."""

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func
from sqlalchemy.orm import Session

from app import artifacts
from app.datasets.models import Snapshot
from app.db import JobState
from app.projects.models import Project
from app.runs.models import Checkpoint, Run, RunKind, Worker

ROWS = {"preference": 40, "ranking": 40, "sft": 40, "prompts": 40}


def make_snapshot(
    session: Session, project: Project, *, rows: dict[str, int] | None = None, **fields: Any
) -> Snapshot:
    """A finished snapshot that says it has these training rows."""
    files = [
        {"path": f"{name}/train.jsonl.gz", "bytes": 1, "sha256": "0" * 64, "rows": count}
        for name, count in (ROWS if rows is None else rows).items()
    ]
    finished: dict[str, Any] = {
        "state": JobState.SUCCEEDED,
        "path": f"snapshots/{uuid4()}",
        "finished_at": func.now(),
        "files": files,
    }
    given = {"name": "Snapshot 1", "recipe": {}} | finished | fields
    snapshot = Snapshot(project_id=project.id, **given)
    session.add(snapshot)
    session.flush()
    return snapshot


def store_snapshot(session: Session, project: Project, *, tasks: int = 24) -> Snapshot:
    """A finished snapshot whose files are there: short polite replies win."""
    rows: dict[str, list[dict[str, Any]]] = {"preference": [], "sft": [], "prompts": []}
    for number in range(tasks):
        prompt = [{"role": "user", "content": f"How many eggs are in box {number}?"}]
        good = [{"role": "assistant", "content": f"There are {number} eggs, thank you."}]
        bad = [{"role": "assistant", "content": f"Eggs {'eggs ' * (number % 5 + 3)}who knows"}]
        pair = {"prompt": prompt, "chosen": good, "rejected": bad}
        more = {"margin": 0.0, "weight": 1.0, "p": 1.0, "agreement": 1.0, "n_annotators": 2}
        ids = {"prompt_id": f"p{number}", "chosen_id": f"c{number}", "rejected_id": f"r{number}"}
        rows["preference"].append(pair | more | ids)
        rows["sft"].append({"messages": prompt + good})
        rows["prompts"].append({"prompt": prompt})
    path = f"snapshots/{uuid4()}"
    with artifacts.workspace() as space:
        folder = space / "snapshot"
        for config, lines in rows.items():
            cut = len(lines) * 3 // 4
            write_lines(folder / config / "train.jsonl.gz", lines[:cut])
            write_lines(folder / config / "test.jsonl.gz", lines[cut:])
        write_manifest(folder / "manifest.json")
        files = artifacts.put_folder(folder, to=path)
    counts = {f"{config}/train.jsonl.gz": len(lines) * 3 // 4 for config, lines in rows.items()}
    return make_snapshot(
        session,
        project,
        path=path,
        files=[{**file.as_json(), "rows": counts.get(file.path)} for file in files],
    )


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def write_manifest(file: Path) -> None:
    """As a snapshot writes it: the judgements behind each prompt at its end, one line each."""
    from app.datasets.formats.manifest import lineage_file, write_manifest

    with lineage_file(file.with_suffix(".lineage")) as lineage:
        lineage.add("p1", [("a-1", "annotator-1", 1)])
        lineage.add("p2", [("a-2", "annotator-1", 2), ("a-3", "annotator-2", 2)])
        write_manifest(
            file,
            body={"counts": {"annotations": {"used": 3}}},
            about={"snapshot": "x"},
            lineage=lineage,
        )


def make_run(
    session: Session, snapshot: Snapshot, kind: RunKind = RunKind.SFT, **fields: Any
) -> Run:
    run = Run(
        id=uuid4(),
        project_id=snapshot.project_id,
        snapshot_id=snapshot.id,
        kind=kind,
        **({"name": f"{kind} run", "base": {"new": "tiny"}, "config": {}} | fields),
    )
    session.add(run)
    session.flush()
    return run


def make_checkpoint(
    session: Session, project: Project, kind: RunKind = RunKind.SFT, *, run: Run | None = None
) -> Checkpoint:
    checkpoint = Checkpoint(
        project_id=project.id,
        run_id=run.id if run else None,
        kind=kind,
        name=f"{kind} checkpoint",
        step=10,
        path=f"runs/{uuid4()}/attempt-1/model",
        bytes=3,
        sha256="0" * 64,
        files=[],
    )
    session.add(checkpoint)
    session.flush()
    return checkpoint


def make_worker(session: Session, *, gpus: tuple[float, ...] = (), **fields: Any) -> Worker:
    """A connected worker whose GPUs have so many GB."""
    from app.jobs import queues_served

    able = {
        "trains": True, "cores": 8, "memory": 32_000_000_000, "python": "3.11.2",
        "system": "Linux x86_64",
        "gpus": [{"name": "NVIDIA H100", "memory": int(size * 1e9)} for size in gpus],
    }  # fmt: skip
    queues = ["data", *queues_served(trains=True, gpu_memory_gb=int(max(gpus)) if gpus else None)]
    about = {"host": "gpu-box", "pid": 4711, "version": "0.1.0", "queues": queues}
    worker = Worker(**(about | {"capabilities": able} | fields))
    session.add(worker)
    session.flush()
    return worker


def jobs_for(session: Session, run_id: UUID) -> int:
    """How many jobs wait that would carry this run out."""
    from sqlalchemy import text

    return session.scalars(
        text(
            "SELECT count(*) FROM procrastinate_jobs"
            " WHERE status = 'todo' AND args ->> 'run_id' = :run"
        ),
        {"run": str(run_id)},
    ).one()
