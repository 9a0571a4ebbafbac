"""A file of any known format as numbered tasks and problems."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

from app.corpus.formats.arena import is_arena, parse_arena
from app.corpus.formats.argilla import is_argilla, parse_argilla
from app.corpus.formats.arrays import is_list_per_line, json_elements
from app.corpus.formats.comparisons import (
    is_pku,
    is_shp,
    is_webgpt,
    parse_pku,
    parse_shp,
    parse_webgpt,
)
from app.corpus.formats.foreign import names_columns, refuse_other_separators, refuse_other_text
from app.corpus.formats.label_studio import is_label_studio, parse_label_studio
from app.corpus.formats.lines import (
    BOM,
    PEEKED,
    Limits,
    Line,
    csv_lines,
    json_lines,
    peeked,
    unpacked,
)
from app.corpus.formats.oasst import Trees, is_oasst
from app.corpus.formats.parquet import is_parquet, parquet_lines
from app.corpus.formats.preferences import is_transcript, parse_hh, parse_trl
from app.corpus.formats.rows import BadFile, BadLine, ImportedTask
from app.corpus.formats.touchstone import parse_prompt, parse_task
from app.corpus.formats.ultrafeedback import is_ultrafeedback, parse_ultrafeedback
from app.corpus.formats.values import check_labels
from app.errors import Invalid

Row = Mapping[str, Any]
Parser = Callable[[Row], ImportedTask]

PARSERS: dict[str, Parser] = {
    "touchstone": parse_task,
    "prompts": parse_prompt,
    "hh-rlhf": parse_hh,
    "trl": parse_trl,
    "ultrafeedback": parse_ultrafeedback,
    "shp": parse_shp,
    "webgpt": parse_webgpt,
    "pku-saferlhf": parse_pku,
    "arena": parse_arena,
    "argilla": parse_argilla,
    "label-studio": parse_label_studio,
}
FORMATS = (*PARSERS, "oasst")  # the lines of the last are trees, or parts of one
# Shapes that no other format has, the surest first; whatever else a row holds is metadata.
SHAPES: dict[str, Callable[[Row], bool]] = {
    "oasst": is_oasst,
    "label-studio": is_label_studio,
    "argilla": is_argilla,
    "pku-saferlhf": is_pku,
    "webgpt": is_webgpt,
    "shp": is_shp,
    "ultrafeedback": is_ultrafeedback,
    "arena": is_arena,
}
MOST_SHAPES = 1000  # whose keys are remembered
MOST_UNKNOWN = 20  # rows that are looked at until one shows what the file is
NOT_A_PROMPT = (
    "This line has responses, and the first line was a prompt alone. Put them in files of their "
    "own, or name the format: touchstone, or prompts to keep the responses as metadata."
)
REPLIES = frozenset({"completion", "response", "chosen", "rejected"})
WIDE = re.compile(rb"([\t\n\r -~]\0){2}|(\0[\t\n\r -~]){2}")  # plain letters as UTF-16 has them
CONTAINERS = ("csv", "parquet")  # how rows are written, not what they say: detected as well


@dataclass(slots=True)
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
    name = None if format in {"auto", *CONTAINERS} else format
    lines = _rows(stream, limits, is_csv=format == "csv")
    if name is not None:
        yield from _read_as(name, lines, limits=limits, is_asked=True)
        return
    unknown: list[Line] = []
    count = 0
    for line in lines:
        count += 1
        if line.row is None:
            yield _problem(line, None, line.problem)
            continue
        unknown.append(line)
        name = detected(line.row)
        if name is not None:
            yield from _read_as(name, chain(unknown, lines), limits=limits, is_asked=False)
            return
        if len(unknown) == MOST_UNKNOWN or sum(each.size for each in unknown) > limits.line_bytes:
            break
    if unknown:
        raise BadFile(_not_recognised(unknown[0].row or {}), line=unknown[0].number)
    if not count:
        raise BadFile("The file has no rows.")


def _read_as(name: str, lines: Iterable[Line], *, limits: Limits, is_asked: bool) -> Iterator[Read]:
    trees = Trees(limits) if name == "oasst" else None
    shapes: set[tuple[str, ...]] = set()
    count = 0
    for line in lines:
        count += 1
        if line.row is None:
            yield _problem(line, None, line.problem)
        elif trees is None:
            yield _read_row(name, line, line.row, shapes=None if is_asked else shapes)
        else:
            yield from (_outcome(name, *outcome) for outcome in trees.read(line))
    if trees is not None:
        yield from (_outcome(name, *outcome) for outcome in trees.end())
    if not count:
        raise BadFile("The file has no rows.")


def _read_row(name: str, line: Line, row: Row, *, shapes: set[tuple[str, ...]] | None) -> Read:
    """What the row says. Where the format was detected, a row of another one is refused.

    `shapes` are the keys of rows that were of this format: detecting costs as much as reading.
    """
    try:
        task = PARSERS[name](row)
    except BadLine as error:
        return _problem(line, name, str(error))
    keys = tuple(row)
    if shapes is None or keys in shapes:
        return _outcome(name, line, task)
    other = detected(row)
    if other == name:
        if len(shapes) < MOST_SHAPES and (name != "trl" or "prompt" in row):
            shapes.add(keys)  # else its texts decide whether it is hh-rlhf
        return _outcome(name, line, task)
    if name == "prompts" and "responses" in row:
        return _problem(line, name, NOT_A_PROMPT)
    what = f"of the format {other}" if other else "of no known format"
    return _problem(
        line,
        name,
        f"This row is {what}, and the file began as {name}. Put them in files of their own, or "
        f"name the format {name} to read all rows as that.",
    )


def _outcome(name: str, line: Line, outcome: ImportedTask | str) -> Read:
    if isinstance(outcome, str):
        return _problem(line, name, outcome)
    try:
        check_labels(outcome)
    except BadLine as error:
        return _problem(line, name, str(error))
    return Read(line.number, format=name, task=outcome, size=line.size)


def _problem(line: Line, name: str | None, problem: str | None) -> Read:
    where = f"{line.where}: " if line.where else ""
    return Read(line.number, format=name, problem=f"{where}{problem}")


def checked_format(name: str) -> str:
    """`name`, if import knows it; `Invalid` names those it knows."""
    known = ["auto", *FORMATS, *CONTAINERS]
    if name not in known:
        raise Invalid(f"There is no format “{name}”. Take one of {', '.join(known)}.")
    return name


def detected(row: Row) -> str | None:
    """The format a row is written in, by its keys; None when it fits none."""
    if isinstance(row.get("responses"), list) and isinstance(row.get("prompt"), str | list):
        return "touchstone"
    if "chosen" in row and "rejected" in row:
        is_hh = is_transcript(row["chosen"]) and is_transcript(row["rejected"])
        return "hh-rlhf" if is_hh and "prompt" not in row else "trl"
    for name, has_shape in SHAPES.items():
        if has_shape(row):
            return name
    if "responses" in row:
        return "touchstone"
    is_prompt = ("prompt" in row or "messages" in row) and not isinstance(row.get("prompt"), dict)
    return "prompts" if is_prompt and REPLIES.isdisjoint(row) else None


def _not_recognised(row: Row) -> str:
    """What was found, and what would make it readable."""
    keys = ", ".join(sorted(row)[:12]) or "none"
    start = f"The format is not recognised: the first row has the keys {keys[:300]}."
    if "completion" in row or ("response" in row and "prompt" in row):
        return (
            f"{start} One answer per prompt, as in data for KTO, SFT or ratings, is nothing to "
            "compare. Put the answers to a prompt into one row, with “prompt” and “responses”; a "
            "snapshot of Touchstone has them in “preference” and “ranking”."
        )
    return (
        f"{start} Expected are “prompt” and “responses” (touchstone), “chosen” and “rejected” "
        f"(hh-rlhf, trl), “prompt” alone (prompts), or a row of {', '.join(sorted(SHAPES))} as "
        "published. Rename the keys: “prompt” for the question, “responses” for the list of "
        "answers."
    )


def _rows(stream: IO[bytes], limits: Limits, *, is_csv: bool) -> Iterator[Line]:
    head = stream.read(16)
    stream.seek(0)
    if is_parquet(head):
        return parquet_lines(stream, limits)
    text = unpacked(stream)
    peek = peeked(text)
    start = peek.removeprefix(BOM).lstrip()
    if WIDE.match(start):
        raise BadFile("This looks like UTF-16 text; save it as UTF-8.")
    if b"\0" in start and not start.startswith(b"{"):
        raise BadFile("This is a binary file, not text. Import takes JSON lines, CSV or Parquet.")
    if b"\r" in start.rstrip(b"\r\n") and b"\n" not in start:
        raise BadFile(
            "The lines end as on old Macs, in CR alone. Write them anew with “tr '\\r' '\\n' < "
            "old > new”."
        )
    first_line = start.split(b"\n", maxsplit=1)[0].strip()
    if start.startswith(b"[") and is_list_per_line(text, limits):
        return json_lines(text, limits)
    if start.startswith(b"[") or first_line == b"{":
        return json_elements(text, limits)
    if first_line.startswith(b"{") and not is_csv:
        return json_lines(text, limits)
    if names_columns(first_line):
        return csv_lines(text, limits)
    refuse_other_separators(first_line)
    if is_csv:
        return csv_lines(text, limits)
    refuse_other_text(start, is_whole=len(peek) < PEEKED)
    return json_lines(text, limits)
