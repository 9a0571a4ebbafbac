"""Export → import → export: whatever people write, it comes back to the byte or is refused."""

import gzip
import io
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app import artifacts
from app.corpus.formats import Limits, read_file
from app.corpus.formats.preferences import parse_hh
from app.datasets.rules.identity import canonical_json
from app.datasets.rules.transcripts import refusal, reply_refusal, transcript
from tests.corpus.files import brought_in, json_lines, problems
from tests.datasets.frozen import freeze, manifest_of, rows_of
from tests.factories import make_project

LIMITS = Limits(file_bytes=1 << 30, line_bytes=1 << 26, rows=1 << 20)
PIECES = [
    "\n\nHuman:", "\n\nAssistant:", "\r\n\r\nHuman: now", "\n\nHuman", "Human:", "\nAssistant: ",
    "=1+1", "+cmd|' /C calc'!A0", "@x", "-2", "\u202e", "\u2066", "\u2028", "\u2029", "\x85",
    "\u200b", "👩‍👩‍👧", "e\u0301", "\u0130", "ﬁ", "\r", "\n", "\r\n", "\t", " ", "\x7f", "\ufeff",
    '"', "\\", "\\u0000", "{}", "<|im_start|>", "word",
]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
storable = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
anything = st.one_of(hostile, st.text(storable))


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def is_held(prompt, *replies):
    return refusal(prompt, is_followed=True) is None and not any(
        reply_refusal(reply, turns=1) for reply in replies
    )


@given(st.lists(anything, min_size=1, max_size=2), anything, anything, anything)
@example([], "ends in \r", "a", "b")
@example([], "ends in \n", " a", "b\r")
@example([], "\r\n\r\nHuman: now", "a", "b")
def test_a_transcript_is_imported_as_what_was_exported_or_it_was_refused(
    earlier, question, chosen, rejected
):
    prompt = [
        *(turn for text in earlier for turn in (user(text), assistant(text[::-1]))),
        user(f"{question}?"),
    ]
    if (
        chosen == rejected
        or not (chosen + rejected).strip()
        or not is_held(prompt, chosen, rejected)
    ):
        return
    row = {
        "chosen": transcript([*prompt, assistant(chosen)]),
        "rejected": transcript([*prompt, assistant(rejected)]),
    }
    task = parse_hh(row)
    assert task.messages == prompt
    assert [response.text for response in task.responses] == [chosen, rejected]


@given(anything, anything, anything)
def test_lines_are_read_back_as_they_were_written(question, chosen, rejected):
    if chosen == rejected or not (chosen + rejected).strip():
        return
    rows = [
        {
            "prompt": [user(f"{question}?")],
            "chosen": [assistant(chosen)],
            "rejected": [assistant(rejected)],
            "p": 1.0,
        },
        {"prompt": [user("the line after")], "chosen": "a", "rejected": "b"},
    ]
    file = io.BytesIO(b"".join(canonical_json(row) + b"\n" for row in rows))
    first, second = read_file(file, format="auto", limits=LIMITS)
    assert (first.line, second.line, first.problem, second.problem) == (1, 2, None, None)
    assert first.task.messages == [user(f"{question}?")]
    assert [response.text for response in first.task.responses] == [chosen, rejected]


def made_up(number, *, seed=0):
    """Hostile pairs, each with a prompt of its own."""
    rng = random.Random(seed)

    def text():
        return "".join(rng.choices(PIECES, k=rng.randint(0, 5)))

    for at in range(number):
        # What is asked, and two replies that differ and are not blank.
        yield f"{text()}{at}{text()}", f"a{text()}", f"{text()}b"


def put_back(session, snapshot, path, project, tmp_path):
    with artifacts.local_folder(snapshot.path) as folder:
        file = tmp_path / path.replace("/", "-")
        file.write_bytes((folder / path).read_bytes())
    row = brought_in(session, project, file)
    assert (row.state, problems(row)) == ("succeeded", {})


def content(snapshot, path):
    return gzip.decompress(b"".join(artifacts.chunks(f"{snapshot.path}/{path}")))


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_hostile_texts_come_back_to_the_byte_in_every_format_that_can_hold_them(
    session, project, ada, tmp_path, file_format
):
    pairs = list(made_up(80))
    long = ("x" * (1 << 20), "y" * (1 << 20), "\u2028" * 1000)
    lines = [
        {
            "prompt": question,
            "responses": [one, other],
            "annotations": [{"annotator": "dataset:x", "ranks": [1, 2]}],
        }
        for question, one, other in [*pairs, long]
    ]
    lines.append({**lines[0], "prompt": "With a system prompt", "system": "Be brief."})
    row = brought_in(session, project, json_lines(tmp_path / "in.jsonl", lines))
    assert (row.state, problems(row)) == ("succeeded", {})
    snapshot = freeze(session, project, test_share=0, format=file_format)

    held = [each for each in [*pairs, long] if is_held([user(each[0])], *each[1:])]
    assert 10 < len(held) < len(pairs)
    assert sum(snapshot.counts["refused"]["hh-rlhf"].values()) == len(lines) - len(held)
    assert len(manifest_of(snapshot)["refused"]) == len(lines) - len(held)
    assert snapshot.counts["refused"]["hh-rlhf"]["role"] == 1

    ending = "jsonl.gz" if file_format == "jsonl" else "parquet"
    for config in ("preference", "hh-rlhf", "prompts", "ranking"):
        other = make_project(session, f"From {config}", by=ada)
        put_back(session, snapshot, f"{config}/train.{ending}", other, tmp_path)
        again = freeze(session, other, test_share=0, format=file_format)
        ours, theirs = (
            next(file for file in each.files if file["path"] == f"{config}/train.{ending}")
            for each in (snapshot, again)
        )
        assert (config, ours["sha256"]) == (config, theirs["sha256"])
    if file_format == "jsonl":
        said = {
            (each["prompt"][-1]["content"], each["chosen"][0]["content"])
            for each in rows_of(snapshot, "preference")
        }
        assert said >= {(question, one) for question, one, _ in [*pairs, long]}


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_rankings_with_ties_come_back_to_the_byte(session, project, ada, tmp_path, file_format):
    """Of three to six hostile responses, each with an order of its own."""
    rng = random.Random(11)
    lines = []
    for at, (question, one, other) in enumerate(made_up(25, seed=3)):
        size = rng.randint(3, 6)
        responses = [f"{one}{at}{place}{other}" for place in range(size)]
        ranks = [rng.randint(1, 3) for _ in responses]
        said = [{"annotator": "dataset:x", "ranks": ranks}]
        lines.append({"prompt": question, "responses": responses, "annotations": said})
    brought_in(session, project, json_lines(tmp_path / "in.jsonl", lines))
    recipe = {"test_share": 0, "ties": "keep", "configs": ["ranking"], "format": file_format}
    snapshot = freeze(session, project, **recipe)
    (path,) = (file["path"] for file in snapshot.files if file["path"].startswith("ranking/"))
    there = make_project(session, "There", by=ada)
    put_back(session, snapshot, path, there, tmp_path)
    again = freeze(session, there, **recipe)
    ours, theirs = (
        next(file for file in each.files if file["path"] == path) for each in (snapshot, again)
    )
    assert ours["rows"] > 20
    assert ours["sha256"] == theirs["sha256"]


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d of it", "\udc00"])
def test_what_the_database_cannot_hold_is_refused_with_a_sentence(session, project, tmp_path, text):
    row = brought_in(
        session,
        project,
        json_lines(tmp_path / "in.jsonl", [{"prompt": text, "responses": ["a", "b"]}]),
    )
    assert row.state == "failed"
    assert ("NUL" if "\0" in text else "surrogate") in problems(row)[1]
