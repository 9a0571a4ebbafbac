"""Freezing in tests, and reading what was frozen."""

import gzip
import json

from app import artifacts
from app.datasets import service
from app.datasets.models import Snapshot
from app.datasets.schemas import Recipe
from app.worker.snapshots import build


def freeze(session, project, **recipe):
    """A snapshot of the project, built as the worker does."""
    snapshot = service.request(
        session, project=project, recipe=Recipe.model_validate(recipe), queued=False
    )
    session.commit()
    lease = service.start(session, snapshot_id=snapshot.id)
    session.commit()
    build(lease)
    session.expire_all()
    return session.get_one(Snapshot, snapshot.id)


def rows_of(snapshot, config, split="train"):
    """The rows of a frozen JSONL file; none where there is no file."""
    path = f"{config}/{split}.jsonl.gz"
    if path not in {file["path"] for file in snapshot.files}:
        return []
    content = b"".join(artifacts.chunks(f"{snapshot.path}/{path}"))
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def manifest_of(snapshot):
    return json.loads(b"".join(artifacts.chunks(f"{snapshot.path}/manifest.json")))


def contents_of(snapshot):
    """Every file uncompressed, the manifest without its lineage: what makes a dataset the same."""
    contents = {}
    for file in snapshot.files:
        content = b"".join(artifacts.chunks(f"{snapshot.path}/{file['path']}"))
        if file["path"].endswith(".gz"):
            content = gzip.decompress(content)
        if file["path"] == "manifest.json":
            manifest = json.loads(content)
            del manifest["lineage"]
            content = json.dumps(manifest).encode()
        contents[file["path"]] = content
    return contents
