"""What two versions of a text differ in: lines side by side, words marked inside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from markupsafe import Markup

from app.web.difference import difference, pieces
from app.web.text import plain

AROUND = 2  # unchanged lines that are shown on either side of a change
ALIKE = 0.5  # from which share of common signs on a line is the other one, changed
MOST_COMPARED = 2_500  # pairs of lines in one place; more are shown as gone and come


@dataclass(frozen=True, slots=True)
class Row:
    """A line before and after; None where it is not. `skipped`: unchanged lines left out here.

    `both` is the line in one piece, with what went and what came.
    """

    before: Markup | None = None
    after: Markup | None = None
    both: Markup | None = None
    kind: str = "same"  # same | changed | old | new | skipped
    skipped: int = 0


@lru_cache(maxsize=64)
def changes(before: str, after: str) -> Sequence[Row]:
    """Empty where nothing differs."""
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return ()
    matcher = SequenceMatcher(None, old, new, autojunk=len(old) * len(new) > 4_000_000)
    rows: list[Row] = []
    codes = matcher.get_opcodes()
    for number, (kind, begin, end, new_begin, new_end) in enumerate(codes):
        if kind == "equal":
            is_first, is_last = number == 0, number == len(codes) - 1
            rows += _unchanged(old[begin:end], is_first=is_first, is_last=is_last)
        else:
            rows += _changed(old[begin:end], new[new_begin:new_end])
    return rows


def _unchanged(lines: Sequence[str], *, is_first: bool, is_last: bool) -> Iterator[Row]:
    head = 0 if is_first else AROUND
    tail = 0 if is_last else AROUND
    hidden = len(lines) - head - tail
    for place, line in enumerate(lines):
        if hidden > 1 and head <= place < head + hidden:
            if place == head:
                yield Row(kind="skipped", skipped=hidden)
            continue
        shown = plain(line)
        yield Row(shown, shown, shown)


def _changed(old: Sequence[str], new: Sequence[str]) -> Iterator[Row]:
    at = 0
    for line, before in _pairs(old, new):
        if before is None:
            yield Row(after=plain(line), both=plain(line), kind="new")
            continue
        yield from (Row(plain(gone), None, plain(gone), "old") for gone in old[at:before])
        at = before + 1
        was = old[before]
        yield Row(
            _gone(was, line),
            difference(line, was),
            _in_one(line, was),
            "changed",
        )
    yield from (Row(plain(gone), None, plain(gone), "old") for gone in old[at:])


def _gone(text: str, other: str) -> Markup:
    """`text` with what `other` lacks as `del`."""
    html = str(difference(text, other))
    return Markup(html.replace("<ins>", "<del>").replace("</ins>", "</del>"))  # noqa: S704  # ours


def _in_one(text: str, other: str) -> Markup:
    """`text` with what came as `ins`, and with what went as `del` in its place, spaces around."""
    html: list[Markup] = []
    gone = ""
    for kind, piece in pieces(text, other):
        if kind == "other":
            gone = piece.strip()
            continue
        if gone:
            space = piece[: len(piece) - len(piece.lstrip())]
            html += [plain(space), Markup("<del>{}</del>").format(plain(gone)), plain(space)]
            piece, gone = piece[len(space) :], ""  # noqa: PLW2901
        shown = plain(piece)
        is_new = kind == "only" and piece.strip()
        html.append(Markup("<ins>{}</ins>").format(shown) if is_new else shown)
    if gone:
        html.append(Markup(" <del>{}</del>").format(plain(gone)))
    return Markup("").join(html)


def _pairs(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    """Each new line with the number of the old one that it was, in order, if there is one."""
    at = 0
    for line in new:
        found = None
        if line.strip() and len(old) * len(new) <= MOST_COMPARED:
            found = next(
                (place for place in range(at, len(old)) if _are_alike(old[place], line)), None
            )
        if found is not None:
            at = found + 1
        yield line, found


def _are_alike(line: str, other: str) -> bool:
    matcher = SequenceMatcher(None, line.split(), other.split(), autojunk=False)
    return matcher.real_quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE
