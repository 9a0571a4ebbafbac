"""Headings of a Markdown text: anchors to link to a section, and the contents."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from app.web.text import PARSER, markdown

OPENING = re.compile(r"<h([1-6])>")
NO_WORD = re.compile(r"[\W_]+")
LONGEST_ANCHOR = 60


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; `anchor` is the id of it on the page."""

    level: int
    title: str
    anchor: str


def headings(text: str) -> list[Heading]:
    """In the order of the text; two of the same title get anchors of their own."""
    tokens = PARSER.parse(text)
    found: list[Heading] = []
    taken: set[str] = set()
    for place, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        inline = tokens[place + 1]
        title = "".join(
            part.content for part in inline.children or () if part.type in {"text", "code_inline"}
        ).strip()
        anchor = _anchor(title, taken)
        taken.add(anchor)
        found.append(Heading(int(token.tag[1]), title, anchor))
    return found


def _anchor(title: str, taken: set[str]) -> str:
    """Begins with `g-`, so that no heading takes the id of something else on the page."""
    plain = f"g-{NO_WORD.sub('-', title.casefold()).strip('-')[:LONGEST_ANCHOR]}"
    anchor, number = plain, 1
    while anchor in taken:
        number += 1
        anchor = f"{plain}-{number}"
    return anchor


def with_anchors(text: str) -> Markup:
    """As `markdown`, where each heading can be linked to."""
    anchors = iter(headings(text))

    def named(opening: re.Match[str]) -> str:
        return f'<h{opening[1]} id="{escape(next(anchors).anchor)}">'

    return Markup(OPENING.sub(named, markdown(text)))  # noqa: S704  # sanitised, and ids escaped


def contents_of(text: str, found: Sequence[Heading] | None = None) -> list[Heading]:
    """The headings that make up the contents: of the two highest levels that are used."""
    known = headings(text) if found is None else found
    levels = sorted({each.level for each in known})[:2]
    return [each for each in known if each.level in levels and each.title]
