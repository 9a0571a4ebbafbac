"""The artifact store: the files of imports, snapshots, runs and checkpoints under one URL.

`settings.artifacts_url` names it (`file://…`, `s3://…`, anything `fsspec` knows). A path in the
store is relative, with forward slashes, and never leaves the store. What is registered in the
database is never written again: each attempt of a job has a folder of its own.
"""

from app.artifacts.committing import remove_after_commit
from app.artifacts.probing import is_elsewhere, trouble
from app.artifacts.reading import (
    check_whole,
    chunks,
    local_folder,
    open_file,
    stored_bytes,
    unharmed,
)
from app.artifacts.store import (
    Damaged,
    Held,
    StoredFile,
    digest,
    exists,
    files,
    folder_digest,
    folders,
    held,
    local_path,
    modified_at,
    remove,
    remove_beside,
)
from app.artifacts.sweeping import unclaimed
from app.artifacts.workspaces import (
    is_abandoned,
    occupied,
    remove_abandoned_workspaces,
    workspace,
)
from app.artifacts.writing import READ_ONLY, put_file, put_folder
from app.artifacts.zips import zip_bytes, zipped, zipped_whole

__all__ = [
    "READ_ONLY",
    "Damaged",
    "Held",
    "StoredFile",
    "check_whole",
    "chunks",
    "digest",
    "exists",
    "files",
    "folder_digest",
    "folders",
    "held",
    "is_abandoned",
    "is_elsewhere",
    "local_folder",
    "local_path",
    "modified_at",
    "occupied",
    "open_file",
    "put_file",
    "put_folder",
    "remove",
    "remove_abandoned_workspaces",
    "remove_after_commit",
    "remove_beside",
    "stored_bytes",
    "trouble",
    "unclaimed",
    "unharmed",
    "workspace",
    "zip_bytes",
    "zipped",
    "zipped_whole",
]
