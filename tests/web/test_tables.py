"""Tables as CSV."""

import csv
import io
from datetime import UTC, datetime

from app.web.tables import csv_reply


def test_text_that_looks_like_a_formula_is_text_and_numbers_are_numbers():
    rows = [
        ("=1+1", -0.5, None),
        ("+49 30", 3, datetime(2026, 3, 1, tzinfo=UTC)),
        (" @SUM(A1)", 0, "a,b"),
        ("-2", 1, 'says "no"\nand goes'),
        ("\t=1", True, "ümlaut"),
    ]
    reply = csv_reply("people", ["name", "value", "more"], rows)
    body = bytes(reply.body).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(body, newline=""))) == [
        ["name", "value", "more"],
        ["'=1+1", "-0.5", ""],
        ["'+49 30", "3", "2026-03-01T00:00:00+00:00"],
        ["' @SUM(A1)", "0", "a,b"],
        ["'-2", "1", 'says "no"\nand goes'],
        ["'\t=1", "True", "ümlaut"],
    ]
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert "people.csv" in reply.headers["content-disposition"]
