"""Markdown, code and LaTeX to safe HTML. Model text is hostile: sanitising comes last."""

import re
from collections.abc import Sequence
from functools import lru_cache

import nh3
from latex2mathml.converter import convert as latex_to_mathml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from app.web.brackets import bracket_plugin
from app.web.invisible import show_invisible

HIGHLIGHT_LIMIT = 20_000  # characters; pygments is slow on hostile input (50 kB of "(" took 0.4 s)
MATH_LIMIT = 2_000
ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|gathered)\}")  # unknown to the converter

MATHML = {
    "math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac",
    "msqrt", "mroot", "mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded",
    "mphantom", "menclose", "mmultiscripts", "mprescripts", "none",
}  # fmt: skip
TAGS = MATHML | {
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "del", "blockquote",
    "ul", "ol", "li", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "a", "span",
    "div",
}  # fmt: skip
ATTRIBUTES = {
    "*": {"class", "dir"},
    "a": {"href", "title"},
    "ol": {"start"},
    "math": {"display", "xmlns"},
    "mo": {"stretchy", "fence", "separator", "form", "lspace", "rspace", "movablelimits"},
    "mtable": {"columnalign", "rowspacing", "columnspacing"},
    "mtd": {"columnalign"},
    "mspace": {"width"},
    "mfrac": {"linethickness"},
    "mi": {"mathvariant"},
    "mstyle": {"displaystyle", "scriptlevel"},
}

# What is wider than its place scrolls, and must do so without a mouse (WCAG 2.1.1). Lists, tables,
# quotations and code run the way of their own text; the style sheet does so for each paragraph.
GIVEN = {
    **{tag: {"tabindex": "0"} for tag in ("table", "pre")},
    **{tag: {"dir": "auto"} for tag in ("ul", "ol", "blockquote")},
}
# The sanitiser puts two attributes in any order; a page must be the same each time.
SCROLLS = re.compile(r'<(table|pre) tabindex="0">')
DISPLAYED = re.compile(r'(<math [^>]*display="block")')  # scrolls, too, but has no place for it

SEEN_NOT = re.compile(r"<(?!hr|math)[^>]*>|&nbsp;|\s")


def highlighted(code: str, language: str, _attributes: str) -> str:
    """Code with token classes; plain where the language is unknown or the text too long."""
    if not language or len(code) > HIGHLIGHT_LIMIT:
        return ""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def mathml(source: str, options: dict[str, bool]) -> str:
    """MathML of a formula, or its source where it cannot be read."""
    as_source = f"<code>{escape(source)}</code>"
    if len(source) > MATH_LIMIT:
        return as_source
    try:
        source = ALIGNED.sub(r"\\\1{align*}", source)
        display = "block" if options["display_mode"] else "inline"
        return str(latex_to_mathml(source, display=display))
    except Exception:  # noqa: BLE001  # the converter raises many kinds on hostile input
        return as_source


def align_by_class(_renderer: RendererHTML, tokens: list[Token], index: int, *_: object) -> str:
    """A table cell whose alignment is a class: the CSP drops style attributes."""
    token = tokens[index]
    style = str(token.attrs.pop("style", ""))
    if style:
        token.attrs["class"] = style.replace("text-align:", "align-")
    attributes = "".join(f' {key}="{escape(str(value))}"' for key, value in token.attrs.items())
    return f"<{token.tag}{attributes}>"


def display_in_line(_renderer: RendererHTML, tokens: list[Token], index: int, *_: object) -> str:
    """A displayed formula within a paragraph, where a div would end the paragraph."""
    source = tokens[index].content
    if is_prose(source):
        return str(escape(f"$${source}$$"))
    formula = mathml(source, {"display_mode": True})
    return f'<span class="math block">{formula}</span>'


def is_prose(source: str) -> bool:
    """Whether it is what stands between two of a shell's `$$`, not a formula."""
    words = [word.strip(".,;:!?'’()") for word in source.split()]
    return all(map(str.isalpha, words)) and sum(len(word) > 1 for word in words) > 1


def image_by_name(_renderer: RendererHTML, tokens: list[Token], index: int, *_: object) -> str:
    """The description of an image and a link to it: loading it would tell who reads, and when."""
    image, before = tokens[index], tokens[:index]
    name = f"[image: {escape(image.content.strip() or 'without a description')}]"
    source = str(image.attrs["src"])
    is_linked = sum(each.nesting for each in before if each.type in {"link_open", "link_close"})
    if is_linked or not source.startswith(("http:", "https:")):
        return name
    return f'<a href="{escape(source)}">{name}</a>'


def make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": highlighted, "breaks": True})
    parser.enable(["table", "strikethrough"])
    bracket_plugin(parser)
    dollarmath_plugin(
        parser, allow_space=False, allow_digits=False, double_inline=True, renderer=mathml
    )
    parser.add_render_rule("image", image_by_name)
    parser.add_render_rule("math_inline_double", display_in_line)
    parser.add_render_rule("td_open", align_by_class)
    parser.add_render_rule("th_open", align_by_class)
    return parser


PARSER = make_parser()


@lru_cache(maxsize=4096)
def markdown(text: str) -> Markup:
    """Safe HTML of a Markdown text with code and LaTeX; its source where that shows nothing."""
    html = nh3.clean(
        show_invisible(PARSER.render(text)),
        tags=TAGS,
        attributes=ATTRIBUTES,
        set_tag_attribute_values=GIVEN,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    if not SEEN_NOT.sub("", html):  # such as of the address of a link alone
        return Markup("<p>{}</p>").format(plain(text)) if text.strip() else Markup()
    html = SCROLLS.sub(r'<\1 dir="auto" tabindex="0">', html)
    html = DISPLAYED.sub(r'\1 tabindex="0"', html)
    return Markup(html)  # noqa: S704  # just sanitised


def plain(text: str) -> Markup:
    """Safe HTML of a text as it was written, character for character."""
    return Markup(show_invisible(str(escape(text))))  # noqa: S704  # escaped, then marked


SPEAKERS = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"\n\n(Human|Assistant): ?")


def turns(text: str) -> list[tuple[str, str]]:
    """A response of several turns as (role, content); one turn is the assistant's.

    Turns after the first stand in the text as a transcript writes them.
    """
    first, *rest = TURN.split(text)
    speakers = [SPEAKERS[name] for name in rest[::2]]
    return [("assistant", first), *zip(speakers, rest[1::2], strict=True)]


def order_in_words(ranks: Sequence[int]) -> str:
    """Ranks as people write them: `B > A = C`."""
    groups = [
        [chr(ord("A") + position) for position, rank in enumerate(ranks) if rank == wanted]
        for wanted in sorted(set(ranks))
    ]
    return " > ".join(" = ".join(group) for group in groups)


LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")


def language_tag(name: str | None) -> str:
    """A language as the `lang` attribute knows it; nothing for a name such as “German”."""
    return name.replace("_", "-") if name and LANGUAGE.fullmatch(name) else ""
