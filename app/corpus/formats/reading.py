"""A file of any known format as numbered tasks and problems."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from app.corpus.formats.lines import BOM, Limits, Line, csv_lines, json_lines, peeked, unpacked
from app.corpus.formats.parquet import is_parquet, parquet_lines
from app.corpus.formats.preferences import is_transcript, parse_hh, parse_trl
from app.corpus.formats.rows import BadFile, BadLine, ImportedTask
from app.corpus.formats.touchstone import parse_prompt, parse_task
from app.errors import Invalid

Parser = Callable[[Mapping[str, Any]], ImportedTask]

FORMATS: dict[str, Parser] = {
    "touchstone": parse_task,
    "hh-rlhf": parse_hh,
    "trl": parse_trl,
    "prompts": parse_prompt,
}
NOT_A_PROMPT = (
    "This line has responses, and the first line was a prompt alone. Put them in files of their "
    "own, or name the format: touchstone, or prompts to keep the responses as metadata."
)
CONTAINERS = ("csv", "parquet")  # how rows are written, not what they say: detected as well


@dataclass(frozen=True, slots=True)
class Read:
    """One row of the file: what it says, or why it is refused."""

    line: int
    format: str | None = None
    task: ImportedTask | None = None
    problem: str | None = None
    size: int = 0  # of the row in the file, in bytes or characters


def read_file(stream: IO[bytes], *, format: str, limits: Limits) -> Iterator[Read]:  # noqa: A002
    """All rows of a seekable file. `format` is one of `FORMATS`, or `auto` to detect it.

    Refused rows come as problems; `BadFile` is raised where reading cannot go on.
    """
    is_asked = format not in {"auto", *CONTAINERS}
    name = format if is_asked else None
    count = 0
    for line in _rows(stream, limits, is_csv=format == "csv"):
        count += 1
        if line.row is None:
            yield Read(line.number, problem=line.problem)
            continue
        if name is None:
            name = detected(line.row)
            if name is None:
                raise BadFile(_not_recognised(line.row), line=line.number)
        if name == "prompts" and not is_asked and "responses" in line.row:
            yield Read(line.number, format=name, problem=NOT_A_PROMPT)
            continue
        try:
            task = FORMATS[name](line.row)
            yield Read(line.number, format=name, task=task, size=line.size)
        except BadLine as error:
            yield Read(line.number, format=name, problem=str(error))
    if not count:
        raise BadFile("The file has no rows.")


def checked_format(name: str) -> str:
    """`name`, if import knows it; `Invalid` names those it knows."""
    known = ["auto", *FORMATS, *CONTAINERS]
    if name not in known:
        raise Invalid(f"There is no format “{name}”. Take one of {', '.join(known)}.")
    return name


def detected(row: Mapping[str, Any]) -> str | None:
    """The format a row is written in, by its keys; None when it fits none."""
    if "responses" in row:
        return "touchstone"
    if "chosen" in row and "rejected" in row:
        is_hh = is_transcript(row["chosen"]) and is_transcript(row["rejected"])
        return "hh-rlhf" if is_hh and "prompt" not in row else "trl"
    has_reply = not {"completion", "response", "chosen", "rejected"}.isdisjoint(row)
    is_tree = isinstance(row.get("prompt"), dict)  # as Open Assistant publishes them
    is_prompt = "prompt" in row or "messages" in row
    return "prompts" if is_prompt and not has_reply and not is_tree else None


def _not_recognised(row: Mapping[str, Any]) -> str:
    keys = ", ".join(sorted(row)[:12]) or "none"
    return (
        f"The format is not recognised: the first row has the keys {keys[:300]}. Expected are "
        "“prompt” and “responses” (touchstone), “chosen” and “rejected” (hh-rlhf, trl), or "
        "“prompt” alone (prompts)."
    )


def _rows(stream: IO[bytes], limits: Limits, *, is_csv: bool) -> Iterator[Line]:
    head = stream.read(16)
    stream.seek(0)
    if is_parquet(head):
        return parquet_lines(stream, limits)
    text = unpacked(stream)
    start = peeked(text).removeprefix(BOM).lstrip()
    if b"\0" in start and not start.startswith(b"{"):
        raise BadFile("This is a binary file, not text. Import takes JSON lines, CSV or Parquet.")
    if b"\r" in start.rstrip(b"\r\n") and b"\n" not in start:
        raise BadFile(
            "The lines end as on old Macs, in CR alone. Write them anew with “tr '\\r' '\\n' < "
            "old > new”."
        )
    first_line = start.split(b"\n", maxsplit=1)[0].strip()
    if first_line in {b"[", b"{"}:
        raise BadFile(
            "This JSON is spread over several lines. Write one object per line instead, for "
            "example with “jq -c '.[]' file.json > file.jsonl”."
        )
    has_header = not first_line.startswith(b"{") and _names_columns(first_line)
    return csv_lines(text, limits) if is_csv or has_header else json_lines(text, limits)


def _names_columns(line: bytes) -> bool:
    names = {name.strip().strip(b'"') for name in line.split(b",")}
    return not names.isdisjoint({b"prompt", b"messages", b"chosen", b"responses"})
