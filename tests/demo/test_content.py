"""What a visitor reads first has to be varied, sound and fair to judge."""

import re
import subprocess
import sys
from itertools import combinations, pairwise
from statistics import mean

import pytest

from app.demo import content

LOADED = content.load()
ROWS = LOADED.rows
GOLD = [row for row in ROWS if "gold" in row]


def quality(response):
    return LOADED.judged[response["text"]].quality


def qualities(row):
    return [quality(response) for response in row["responses"]]


def ids(rows):
    return [row["id"] for row in rows]


def test_there_is_enough_of_every_kind():
    assert len(ROWS) >= 64
    assert sum(len(row["responses"]) == 2 for row in ROWS) >= 40
    assert sum(len(row["responses"]) > 2 for row in ROWS) >= 24
    assert 12 <= len(GOLD) <= 16
    tags = {tag for row in ROWS for tag in row["tags"]}
    assert tags >= {
        "explain", "writing", "code", "maths", "planning", "summary", "rewrite", "safety",
        "translation", "conversation", "facts", "tables", "lists", "latex", "rtl", "instructions",
    }  # fmt: skip


def test_no_prompt_or_response_appears_twice():
    assert len(set(ids(ROWS))) == len(ROWS)
    assert len({str(row["prompt"]) for row in ROWS}) == len(ROWS)
    texts = [response["text"] for row in ROWS for response in row["responses"]]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_every_row_is_a_task_that_fits_a_phone(row):
    assert set(row) <= {"id", "prompt", "system", "responses", "tags", "gold"}
    assert 2 <= len(row["responses"]) <= 4
    if not isinstance(row["prompt"], str):
        roles = [message["role"] for message in row["prompt"]]
        assert roles[::2] == ["user"] * len(roles[::2])
        assert roles[-1] == "user"
        assert roles[1::2] == ["assistant"] * len(roles[1::2])
    for response in row["responses"]:
        assert set(response) == {"text", "source"}
        assert response["source"] in {f"demo-model-{letter}" for letter in "abcd"}
        assert response["text"] == response["text"].strip()
        assert 0 < len(response["text"]) <= 1_200
        assert 0 <= quality(response) <= 1
    sources = [response["source"] for response in row["responses"]]
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize("row", GOLD, ids=ids(GOLD))
def test_gold_is_explained_and_agrees_with_a_wide_gap_in_quality(row):
    # Every pair points from better to worse by a wide margin, so it can have no cycle.
    assert row["gold"]["prefers"]
    assert row["gold"]["explanation"]
    for better, worse in row["gold"]["prefers"]:
        assert qualities(row)[better] - qualities(row)[worse] >= 0.4


def test_notes_continue_a_sentence():
    for judged in LOADED.judged.values():
        assert judged.note[0].islower()
        assert not judged.note.endswith(".")


def test_neither_place_nor_length_gives_the_better_response_away():
    pairs = [row for row in ROWS if len(row["responses"]) == 2]
    first = mean(qualities(row)[0] > qualities(row)[1] for row in pairs)
    assert 0.4 <= first <= 0.6
    longer = mean(
        (len(a["text"]) > len(b["text"])) == (quality(a) > quality(b))
        for row in pairs
        for a, b in [row["responses"]]
    )
    assert 0.4 <= longer <= 0.65
    gold_first = mean(row["gold"]["prefers"][0][0] == 0 for row in GOLD)
    assert 0.3 <= gold_first <= 0.7


def test_the_four_sources_differ_but_none_always_wins():
    points = {}
    wins = {}
    for row in ROWS:
        for response in row["responses"]:
            points.setdefault(response["source"], []).append(quality(response))
        for a, b in combinations(row["responses"], 2):
            better, worse = (a, b) if quality(a) > quality(b) else (b, a)
            wins.setdefault(frozenset((a["source"], b["source"])), set()).add(better["source"])
            assert better != worse
    means = [mean(points[f"demo-model-{letter}"]) for letter in "abcd"]
    assert means == sorted(means, reverse=True)
    assert min(high - low for high, low in pairwise(means)) > 0.1
    assert any(len(winners) == 2 for winners in wins.values())


def test_what_the_crowd_knows_is_not_in_the_file_to_import():
    assert b"quality" not in LOADED.file()
    assert b'"note"' not in LOADED.file()
    assert LOADED.file().count(b"\n") == len(ROWS)


def python_of(row_id, *, best):
    row = next(row for row in ROWS if row["id"] == row_id)
    pick = max if best else min
    response = pick(row["responses"], key=quality)
    return re.search(r"```python\n(.*?)```", response["text"], re.DOTALL)[1]


@pytest.mark.parametrize(
    ("row_id", "check"),
    [
        ("palindrome", "assert is_palindrome('Anna') and not is_palindrome('Rui')"),
        ("dedupe-keep-order", "assert unique([3, 1, 3, 2, 1]) == [3, 1, 2]"),
        ("endless-loop", "assert count == 0"),
        ("index-error", "assert name == 'Sam'"),
    ],
)
def test_the_code_of_good_responses_works(row_id, check):
    program = f"{python_of(row_id, best=True)}\n{check}\n"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20, capture_output=True)


def test_the_code_of_the_bad_palindrome_really_fails():
    program = f"{python_of('palindrome', best=False)}\nassert is_palindrome('Anna')\n"
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert b"AssertionError" in result.stderr
