"""Reading rows without a database."""

import io
import json
from typing import Any

from app.corpus.formats import ImportedTask, Limits, Read, read_file

LIMITS = Limits(file_bytes=10**9, line_bytes=10**6, rows=10**6)


def as_lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def reads(content: bytes | str, *, format: str = "auto", limits: Limits = LIMITS) -> list[Read]:  # noqa: A002
    data = content.encode() if isinstance(content, str) else content
    return list(read_file(io.BytesIO(data), format=format, limits=limits))


def tasks_in(content: bytes | str, *, format: str = "auto") -> list[ImportedTask]:  # noqa: A002
    """The tasks of a file in which nothing is refused."""
    rows = reads(content, format=format)
    assert [row.problem for row in rows] == [None] * len(rows)
    return [row.task for row in rows if row.task is not None]


def tasks(*rows: Any, format: str = "auto") -> list[ImportedTask]:  # noqa: A002
    return tasks_in(as_lines(*rows), format=format)


def only_problem(*rows: Any, format: str = "auto") -> str:  # noqa: A002
    """What is said of the last of the rows; the others are good."""
    read = reads(as_lines(*rows), format=format)
    assert [row.problem for row in read[:-1]] == [None] * (len(read) - 1)
    problem = read[-1].problem
    assert problem is not None
    return problem


def judged(task: ImportedTask) -> dict[str, list[int]]:
    """The ranks by who gave them."""
    return {each.annotator: each.ranks for each in task.annotations}
