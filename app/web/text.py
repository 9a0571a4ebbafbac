"""Markdown, code and LaTeX to safe HTML. Model text is hostile: sanitising comes last."""

import re
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

HIGHLIGHT_LIMIT = 20_000  # characters; pygments is slow on hostile input (50 kB of "(" took 0.4 s)
MATH_LIMIT = 2_000

# Characters that reorder or hide text are shown as marks, so that nobody is tricked by them.
INVISIBLE = {
    "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO",
    "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI",
    "\u200b": "ZWSP", "\u2060": "WJ", "\ufeff": "BOM", "\u00ad": "SHY",
}  # fmt: skip
INVISIBLE_PATTERN = re.compile("[" + "".join(INVISIBLE) + "]")

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

# What is wider than its place scrolls, and must do so without a mouse (WCAG 2.1.1).
REACHED_BY_KEYS = {"table": {"tabindex": "0"}, "pre": {"tabindex": "0"}}


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
        display = "block" if options["display_mode"] else "inline"
        return str(latex_to_mathml(source, display=display))
    except Exception:  # noqa: BLE001  # the converter raises many kinds on hostile input
        return as_source


def brackets_to_dollars(text: str) -> str:
    r"""Rewrite `\( … \)` and `\[ … \]`, which models write, to the `$` forms the parser knows."""
    text = re.sub(r"\\\[(.+?)\\\]", lambda m: f"$${m[1]}$$", text, flags=re.DOTALL)
    return re.sub(r"\\\((.+?)\\\)", lambda m: f"${m[1].strip()}$", text)


def align_by_class(_renderer: RendererHTML, tokens: list[Token], index: int, *_: object) -> str:
    """A table cell whose alignment is a class: the CSP drops style attributes."""
    token = tokens[index]
    style = str(token.attrs.pop("style", ""))
    if style:
        token.attrs["class"] = style.replace("text-align:", "align-")
    attributes = "".join(f' {key}="{escape(str(value))}"' for key, value in token.attrs.items())
    return f"<{token.tag}{attributes}>"


def make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": highlighted, "breaks": True})
    parser.enable(["table", "strikethrough"])
    parser.disable("image")  # a remote image tracks the reader and breaks blinding
    dollarmath_plugin(parser, allow_space=False, allow_digits=False, renderer=mathml)
    parser.add_render_rule("td_open", align_by_class)
    parser.add_render_rule("th_open", align_by_class)
    return parser


PARSER = make_parser()


def show_invisible(html: str) -> str:
    def mark(match: re.Match[str]) -> str:
        return f'<span class="invisible-mark">{INVISIBLE[match[0]]}</span>'

    return INVISIBLE_PATTERN.sub(mark, html)


@lru_cache(maxsize=4096)
def markdown(text: str) -> Markup:
    """Safe HTML of a Markdown text with code and LaTeX."""
    html = nh3.clean(
        show_invisible(PARSER.render(brackets_to_dollars(text))),
        tags=TAGS,
        attributes=ATTRIBUTES,
        set_tag_attribute_values=REACHED_BY_KEYS,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(html)  # noqa: S704  # just sanitised
