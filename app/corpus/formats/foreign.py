"""Text that is no data of ours, known by its beginning: refused once, not once per line."""

import re

from app.corpus.formats.rows import BadFile

# One of these names the columns of a CSV file.
COLUMNS = frozenset(
    b"prompt messages chosen responses instruction question history completions message_id "
    b"response_0 response_a answer_0 human_ref_A conversation_a data fields".split()
)
SEPARATORS = {b";": "semicolons", b"\t": "tabs", b"|": "bars"}
MARKUP = re.compile(rb"<(!doctype|!--|\?xml|html|head|body|svg)\b", re.IGNORECASE)
YAML = re.compile(rb"(---|(- *)?[\"']?[A-Za-z_][\w .-]*[\"']?:)(\s|$)")
PLAIN = (
    "This is not JSON: each line must be one JSON object {…}, and none of the first ones is. The "
    "first line of a CSV file must name its columns in small letters, with commas between them."
)


def names_columns(line: bytes, separator: bytes = b",") -> bool:
    names = {name.strip().strip(b'"') for name in line.split(separator)}
    return not names.isdisjoint(COLUMNS)


def refuse_other_separators(header: bytes) -> None:
    """`BadFile` where the first line names columns with something else than commas between."""
    for separator, what in SEPARATORS.items():
        if names_columns(header, separator) and separator in header:
            raise BadFile(
                f"This looks like CSV with {what} between its cells. Save it with commas; "
                "spreadsheets call that “CSV UTF-8 (comma delimited)”."
            )


def refuse_other_text(start: bytes, *, is_whole: bool) -> None:
    """`BadFile` where none of the first lines can be JSON; `start` is how the file begins.

    Where any of them may be, each line is told by itself.
    """
    if MARKUP.match(start):
        raise BadFile(
            "This looks like a web page (HTML or XML), not data. It may be the page about the "
            "file, or one to sign in: download the file itself."
        )
    lines = [line for line in start.split(b"\n") if line.strip()]
    if not lines or any(line.lstrip().startswith((b"{", b"[")) for line in lines):
        return
    if YAML.match(next((line for line in lines if not line.startswith(b"#")), b"")):
        raise BadFile(
            "This looks like YAML. Write it as JSON lines: one JSON object {…} per row, each on a "
            "line of its own."
        )
    if is_whole or len(lines) > 1:
        raise BadFile(PLAIN)
