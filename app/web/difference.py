"""What the words of two texts have in common, as safe HTML: `ins` and `del` around the rest."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice

from markupsafe import Markup, escape

from app.web.invisible import show_invisible

MOST_WORDS = 4_000  # of either text; above, whole lines are compared
MOST_LINES = 2_000  # above, a line is the same if the other text has it anywhere (bounded time)
MOST_PAIRS = 400_000  # of equal words, one in either text
# Words, signs, and each character of scripts that put no space between words.
WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]"
)
LINE = re.compile(r"[^\n]+")
Piece = tuple[str, str]  # same | only | other, and the text


def is_by_words(*texts: str) -> bool:
    """Whether the texts are short enough to be compared word by word."""
    return not any(next(islice(WORD.finditer(text), MOST_WORDS, None), None) for text in texts)


def difference(text: str, other: str, *, with_other: bool = False) -> Markup:
    """`text` with what `other` lacks as `ins`; `with_other` adds what only that has, as `del`."""
    html = []
    for kind, piece in pieces(text, other):
        shown = show_invisible(str(escape(piece)))
        if kind == "same" or not piece.strip():
            html.append(shown if kind != "other" else "")
        elif kind == "only":
            html.append(f"<ins>{shown}</ins>")
        elif with_other:
            html.append(f"<del>{shown}</del>")
    return Markup("".join(html))  # noqa: S704  # every piece was escaped


@lru_cache(maxsize=64)
def pieces(text: str, other: str) -> Sequence[Piece]:
    """`text` from its beginning to its end, with what only `other` has where it is missing."""
    pattern = WORD if is_by_words(text, other) else LINE
    ours, theirs = list(pattern.finditer(text)), list(pattern.finditer(other))
    if max(len(ours), len(theirs)) > MOST_LINES:
        known = {found[0] for found in theirs}
        lines = text.splitlines(keepends=True)
        return [("same" if line.strip("\r\n") in known else "only", line) for line in lines]
    first, second = [found[0] for found in ours], [found[0] for found in theirs]
    # Frequent words are looked at as well, unless they are so frequent that it would take seconds.
    counts, other_counts = Counter(first), Counter(second)
    is_heavy = sum(count * other_counts[word] for word, count in counts.items()) > MOST_PAIRS
    matcher = SequenceMatcher(None, first, second, autojunk=is_heavy)
    made: list[Piece] = []
    at = 0  # in `text`: the space before a word goes with it
    for kind, begin, end, their_begin, their_end in matcher.get_opcodes():
        if their_end > their_begin and kind != "equal":
            gone = other[theirs[their_begin].start() : theirs[their_end - 1].end()]
            made.append(("other", f"{gone} "))
        if end > begin:
            to = ours[end - 1].end()
            space = ours[begin].start()
            made.append(("same", text[at:space]))
            made.append(("same" if kind == "equal" else "only", text[space:to]))
            at = to
    made.append(("same", text[at:]))
    return made
