"""Characters that hide, reorder or smuggle text, made visible as small marks.

What scripts and emoji need stays as it is: a joiner between letters, one variation selector after
an emoji, the tags of a flag.
"""

import re

from markupsafe import escape

NAMES = {
    # they turn the order of what follows
    "\u061c": "ALM", "\u200e": "LRM", "\u200f": "RLM",
    "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO",
    "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI",
    # they take no room
    "\u200b": "ZWSP", "\u200c": "ZWNJ", "\u200d": "ZWJ", "\u2060": "WJ", "\ufeff": "BOM",
    "\u00ad": "SHY", "\u034f": "CGJ", "\u180e": "MVS", "\u17b4": "KIV", "\u17b5": "KIV",
    "\u2061": "FA", "\u2062": "IT", "\u2063": "IS", "\u2064": "IP",
    "\ufff9": "IAA", "\ufffa": "IAS", "\ufffb": "IAT",
    # they look like a space, or end a line where no line seems to end
    "\u2028": "LSEP", "\u2029": "PSEP", "\u0085": "NEL",
    "\u115f": "HF", "\u1160": "HF", "\u3164": "HF", "\uffa0": "HF", "\u2800": "BLANK",
}  # fmt: skip
NAMES |= {chr(code): f"U+{code:04X}" for code in range(0x206A, 0x2070)}  # deprecated formats
NAMES |= {  # controls; tab, line feed and carriage return are text
    chr(code): f"U+{code:04X}"
    for code in (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0))
    if chr(code) not in NAMES
}
JOINERS = "\u200c\u200d"
SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
TAGS = "\U000e0000-\U000e007f"
ALWAYS = "".join(re.escape(sign) for sign in NAMES if sign not in JOINERS)

FOUND = re.compile(
    f"[{ALWAYS}]"
    rf"|(?<=[\x00-\x7f])[{JOINERS}]|[{JOINERS}](?=[\x00-\x7f]|$)"
    f"|[{SELECTORS}]{{2,}}"
    f"|(?<=[A-Za-z.,;:!? \n])[{SELECTORS}]"
    f"|(?<![\U0001f3f4{TAGS}])[{TAGS}]+"
)
TAG_OF_HTML = re.compile(r"(<[^>]*>)")


def name_of(found: str) -> str:
    """What a mark says; letters hidden as tags are spelt out."""
    if found in NAMES:
        return NAMES[found]
    if "\U000e0000" <= found[0] <= "\U000e007f":
        hidden = "".join(chr(ord(sign) - 0xE0000) for sign in found)
        spelt = "".join(sign for sign in hidden if sign.isprintable())
        return f"hidden: {spelt}" if spelt else "TAG"
    return f"VS×{len(found)}" if len(found) > 1 else "VS"


def as_mark(match: re.Match[str]) -> str:
    name = escape(name_of(match[0]))
    return f'<span class="invisible-mark">{name}</span>'


def show_invisible(html: str) -> str:
    """Marks in the text between tags; inside a tag such a character is left out."""
    if html.isascii() and html.isprintable():
        return html
    parts = TAG_OF_HTML.split(html)
    return "".join(
        FOUND.sub("" if place % 2 else as_mark, part) for place, part in enumerate(parts)
    )
