"""A file that somebody sends, staged on disk while the request lasts."""

import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.artifacts import workspace
from app.config import settings
from app.errors import Invalid, NoRoom, TooLarge

PIECE = 1 << 20
NO_FILE = "Choose a file first; in a multipart form it is the part “file”."
ONE_FILE = "This form has {n} files. Send them one after the other."
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PART = {"type": "object", "required": ["file"], "properties": {"file": _BYTES["schema"]}}
# What the OpenAPI document says of the body, which FastAPI does not see.
UPLOAD_CONTENT = {
    "application/x-ndjson": _BYTES,
    "application/json": _BYTES,
    "application/gzip": _BYTES,
    "text/csv": _BYTES,
    "application/vnd.apache.parquet": _BYTES,
    "multipart/form-data": {"schema": _PART},
}


@dataclass(frozen=True, slots=True)
class Upload:
    """Where the file lies until the reply has left, and the name its sender gave it, if any."""

    path: Path
    filename: str


async def staged_upload(request: Request) -> AsyncIterator[Upload]:
    """The raw body, or the one file of a multipart form; `TooLarge` past the limit.

    Whoever depends on it has asked before whether the caller may write at all, and holds no
    database session meanwhile: a body may take hours to arrive.
    """
    _check_length(request)
    with workspace() as folder:
        path = folder / "upload"
        try:
            with path.open("wb") as target:
                if is_multipart(request):
                    filename = await _copy_part(request, target)
                else:
                    filename = await _copy_body(request, target)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise
            raise NoRoom(
                "There is no room for this file on the server's disk. Nothing of it was kept; "
                "free some space, or ask whoever runs the server."
            ) from error
        yield Upload(path, filename)


def is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/form-data")


def require_part(request: Request) -> None:
    """`Invalid` where a page is sent another kind of form, which cannot hold a file."""
    if not is_multipart(request):
        raise Invalid(NO_FILE)


async def _copy_part(request: Request, target: BinaryIO) -> str:
    async with request.form() as form:
        # Programs name the part as they like; an input that was left empty has no name of a file.
        parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        files = [part for part in parts if part.filename]
        if not files:
            raise Invalid(NO_FILE)
        if len(files) > 1:
            raise Invalid(ONE_FILE.format(n=len(files)))
        part = files[0]
        while piece := await part.read(PIECE):
            await run_in_threadpool(target.write, piece)
        return part.filename or ""


async def _copy_body(request: Request, target: BinaryIO) -> str:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > settings.max_upload_mb * 10**6:
            raise too_large()
        await run_in_threadpool(target.write, piece)
    return ""


def _check_length(request: Request) -> None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > settings.max_upload_mb * 10**6:
        raise too_large()


def too_large() -> TooLarge:
    return TooLarge(
        f"The file is larger than {settings.max_upload_mb:,} MB. Compress it with gzip, split it, "
        "or raise TOUCHSTONE_MAX_UPLOAD_MB."
    )
