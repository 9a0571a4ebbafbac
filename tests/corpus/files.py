"""Files for imports, and imports of them, as tests need them."""

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus import service
from app.corpus.models import Import, Prompt, Response
from app.projects.models import Project
from app.tasks.models import Task
from app.worker.imports import import_file


def json_lines(path: Path, rows: Iterable[Any], *, packed: bool = False) -> Path:
    """Objects as one line each; texts and bytes are written as they are."""
    lines = [
        row
        if isinstance(row, bytes)
        else (row if isinstance(row, str) else json.dumps(row)).encode()
        for row in rows
    ]
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def pair(prompt: str = "What is 2 + 2?", **fields: Any) -> dict[str, Any]:
    """A line of `touchstone`."""
    return {"prompt": prompt, "responses": ["4", "5"], **fields}


def brought_in(session: Session, project: Project, file: Path, **options: Any) -> Import:
    """The finished import of a file."""
    session.commit()
    row = import_file(project_id=project.id, file=file, **options)
    session.expire_all()
    return row


def request_check(
    session: Session, project: Project, file: Path, *, by: User, **options: Any
) -> UUID:
    """The check of a copy of the file, which waits for a worker."""
    upload = file.with_suffix(".copy")
    upload.write_bytes(file.read_bytes())
    about = {"filename": file.name, "format": "auto", "skip_bad_lines": False, "dry_run": True}
    row = service.request_import(session, project=project, by=by, upload=upload, **about | options)
    session.commit()
    return row.id


def figures(row: Import) -> tuple[int, int, int, int]:
    return row.rows_read, row.rows_imported, row.rows_skipped, row.rows_rejected


def counts(session: Session, project: Project) -> dict[str, int]:
    """Rows of the project, by kind."""

    def count(model: Any, *where: Any) -> int:
        return session.scalars(select(func.count()).select_from(model).where(*where)).one()

    return {
        "prompts": count(Prompt, Prompt.project_id == project.id),
        "responses": count(
            Response,
            Response.prompt_id.in_(select(Prompt.id).where(Prompt.project_id == project.id)),
        ),
        "tasks": count(Task, Task.project_id == project.id),
        "annotations": count(Annotation, Annotation.project_id == project.id),
    }


def problems(row: Import) -> dict[int, str]:
    """The message of each refused line."""
    return {error["line"]: error["message"] for error in row.errors}


def all_problems(row: Import) -> Sequence[str]:
    return [error["message"] for error in row.errors]
