r"""Formulas in `\( … \)` and `\[ … \]`, as models write them, for the Markdown parser.

They are rules of the parser and no rewriting of the text, so that `\(` in code stays as it is.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

ENDS = {"(": r"\)", "[": r"\]"}
LONGEST = 10_000  # characters to the closing bracket


def bracket_inline(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  # the parser's shape
    opening = state.src[state.pos : state.pos + 2]
    if len(opening) < 2 or opening[0] != "\\" or opening[1] not in ENDS:
        return False
    limit = min(state.posMax, state.pos + LONGEST)
    end = state.src.find(ENDS[opening[1]], state.pos + 2, limit)
    content = state.src[state.pos + 2 : end].strip()
    if end < 0 or not content:
        return False
    if not silent:
        kind = "math_inline" if opening[1] == "(" else "math_inline_double"
        token = state.push(kind, "math", 0)
        token.content, token.markup = content, "$"
    state.pos = end + 2
    return True


def bracket_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001
    r"""A `\[` that begins a line, to the `\]` that ends one: what is between is no Markdown."""
    if state.is_code_block(start):
        return False
    first = state.bMarks[start] + state.tShift[start]
    if not state.src.startswith(r"\[", first):
        return False
    lines: list[str] = []
    for line in range(start, end):
        if line > start and state.sCount[line] < state.blkIndent:
            return False
        begin = state.bMarks[line] + state.tShift[line] + (2 if line == start else 0)
        text = state.src[begin : state.eMarks[line]]
        if r"\]" in text:
            before, _, after = text.partition(r"\]")
            if not re.fullmatch(r"[\s.,;]*", after):
                return False
            lines.append(before)
            break
        lines.append(text)
        if sum(map(len, lines)) > LONGEST:
            return False
    else:
        return False
    content = "\n".join(lines).strip()
    if not content:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.block, token.content, token.markup = True, content, "$$"
        token.map = [start, line + 1]
        state.line = line + 1
    return True


def bracket_plugin(parser: MarkdownIt) -> None:
    parser.inline.ruler.before("escape", "bracket_inline", bracket_inline)
    parser.block.ruler.before(
        "fence",
        "bracket_block",
        bracket_block,
        {"alt": ["paragraph", "reference", "blockquote", "list"]},
    )
