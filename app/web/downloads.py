"""Files of the artifact store on their way out: whole, in parts, or not at all when known."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from app import artifacts
from app.artifacts import StoredFile

_PIECE = 1 << 20
_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def stored_file(
    request: Request, file: StoredFile, *, folder: str, filename: str, media_type: str
) -> Response:
    """A registered file under `filename`, or the range of it that the request asks for.

    One that is missing or has another length is a sentence. One whose bytes were changed is cut
    off before its end, for by then most of it is on its way.
    """
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if _knows(request, etag):
        return Response(status_code=304, headers=headers)
    artifacts.check_whole(folder, [file])
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{filename}"',
    }
    start, stop = _range(request, etag, file.bytes)
    if start >= stop and file.bytes:
        headers = {"Content-Range": f"bytes */{file.bytes}"}
        return Response(status_code=416, headers=headers)
    headers["Content-Length"] = str(stop - start)
    is_part = (start, stop) != (0, file.bytes)
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.bytes}"
    status = 206 if is_part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    path = f"{folder}/{file.path}"
    pieces = artifacts.chunks(path, start=start, stop=stop)
    if not is_part:
        pieces = artifacts.unharmed(pieces, path=path, sha256=file.sha256)
    return StreamingResponse(_begun(pieces), status, headers, media_type)


def stored_archive(
    request: Request, files: list[StoredFile], *, folder: str, filename: str
) -> Response:
    """All files of a folder as one zip, always the same bytes."""
    etag = f'"{artifacts.folder_digest(files)}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if _knows(request, etag):
        return Response(status_code=304, headers=headers)
    pieces = artifacts.zipped_whole(folder, files)
    headers["Content-Disposition"] = f'attachment; filename="{filename}.zip"'
    if (length := artifacts.zip_bytes(files)) is not None:
        headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return Response(headers=headers, media_type="application/zip")
    return StreamingResponse(_begun(pieces), headers=headers, media_type="application/zip")


def folder_archive(request: Request, *, folder: str, filename: str) -> Response:
    """All that a stored folder holds as one zip; its length is not known before it is sent."""
    pieces = artifacts.zipped(folder)
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}.zip"',
        "Cache-Control": "private, no-cache",
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type="application/zip")
    return StreamingResponse(_begun(pieces), headers=headers, media_type="application/zip")


def passing_file(file: Path, *, filename: str, media_type: str) -> Response:
    """A file that was made for this reply alone. It may be deleted at once: it is open already."""
    content = file.open("rb")

    def pieces() -> Iterator[bytes]:
        with content:
            while piece := content.read(_PIECE):
                yield piece

    headers = {
        "Content-Length": str(file.stat().st_size),
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(pieces(), headers=headers, media_type=media_type)


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, the first of them read already: what fails there can still be said."""
    return chain([next(pieces, b"")], pieces)


def _knows(request: Request, etag: str) -> bool:
    """Whether whoever asks has these very bytes already."""
    known = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
    return "*" in known or etag in [each.removeprefix("W/") for each in known]


def _range(request: Request, etag: str, size: int) -> tuple[int, int]:
    """From where up to where: all of it unless one range of this very file is asked for.

    What is no single range of bytes is passed over, as RFC 9110 allows. Nothing is left of the
    file (start ≥ stop) where the range begins behind its end.
    """
    match = _ONE_RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or request.headers.get("if-range", etag) != etag:
        return 0, size
    first, last = match.groups()
    if first:
        stop = min(int(last) + 1, size) if last else size
        return (0, size) if last and int(last) < int(first) else (int(first), stop)
    if not last:
        return 0, size
    return (max(size - int(last), 0), size) if int(last) else (size, size)
