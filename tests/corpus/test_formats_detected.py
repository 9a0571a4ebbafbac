"""What a file is shows in its first rows, and no format takes the file of another."""

import csv
import gzip
import io
import json
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.corpus.formats import FORMATS, BadFile, read_file
from tests.corpus.files import pair
from tests.corpus.reading import LIMITS, as_lines, judged, only_problem, reads, tasks, tasks_in
from tests.corpus.samples import (
    ARGILLA,
    HH,
    OASST_TREE,
    PKU,
    SAMPLES,
    SHP,
    ULTRAFEEDBACK,
    WEBGPT,
    assistant,
    flat,
    user,
)
from tests.shared_data import shared_data

EACH = [
    pytest.param(name, row, id=f"{name}-{number}")
    for name, rows in SAMPLES.items()
    for number, row in enumerate(rows)
]


def test_every_format_has_samples():
    assert set(SAMPLES) == set(FORMATS)
    assert all(len(rows) >= 2 for rows in SAMPLES.values())


@pytest.mark.parametrize(("name", "row"), EACH)
def test_a_row_is_detected_and_read(name, row):
    read = reads(as_lines(row))
    assert {each.format for each in read} == {name}
    assert [each.problem for each in read] == [None] * len(read)


@pytest.mark.parametrize(("name", "row"), EACH)
def test_a_row_of_another_format_inside_a_file_is_refused_with_its_line(name, row):
    """Whatever its parser would make of it: one file is one format."""
    for other, (stranger, *_) in SAMPLES.items():
        if other == name:
            continue
        *good, bad = reads(as_lines(row, stranger))
        assert [each.problem for each in good] == [None] * len(good)
        assert (bad.line, bad.task) == (2, None), f"{other} in a file of {name}"


@pytest.mark.parametrize(("name", "row"), EACH)
def test_a_json_list_holds_the_same_rows(name, row):
    expected = tasks(row, row)
    for written in (json.dumps([row, row]), json.dumps([row, row], indent=2)):
        assert tasks_in(written) == expected
        assert tasks_in(gzip.compress(written.encode())) == expected


TABLES = [each for each in EACH if each.values[0] != "oasst"]  # whose tables are of messages


@pytest.mark.parametrize("row", [each.values[1] for each in TABLES], ids=[t.id for t in TABLES])
def test_a_csv_file_with_the_same_columns_says_the_same(row):
    """Objects and lists are JSON in their cells; null and absent are both an empty cell."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(row))
    writer.writeheader()
    writer.writerow(
        {
            key: json.dumps(value) if isinstance(value, dict | list) else value
            for key, value in row.items()
        }
    )
    (from_csv,), (expected,) = tasks_in(sink.getvalue()), tasks(row)
    assert from_csv.messages == expected.messages
    assert [(each.text, each.source) for each in from_csv.responses] == [
        (each.text, each.source) for each in expected.responses
    ]
    assert from_csv.annotations == expected.annotations


def columns(rows):
    """As `datasets` writes them: every row has every column."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


@pytest.mark.parametrize(("name", "row"), EACH)
def test_a_parquet_file_with_the_same_columns_says_the_same(name, row):
    row = {key: value for key, value in row.items() if value not in ({}, [])}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row, row]), sink)
    first, second = tasks_in(sink.getvalue())[:: 2 if name == "oasst" and "prompt" in row else 1]
    assert first == second
    expected = tasks(row)[0]
    assert (first.messages, first.annotations) == (expected.messages, expected.annotations)
    assert [each.text for each in first.responses] == [each.text for each in expected.responses]


def test_messages_of_open_assistant_come_in_tables_too():
    rows = flat(OASST_TREE)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(columns(rows)), sink)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns(rows)[0]))
    writer.writeheader()
    writer.writerows(
        {k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()} for row in rows
    )
    for content in (sink.getvalue(), text.getvalue()):
        assert [task.messages for task in tasks_in(content)] == [
            task.messages for task in tasks(OASST_TREE)
        ]


def test_a_file_that_begins_with_rows_that_say_little_is_known_by_a_later_one():
    """As records of Argilla that nobody has answered yet, in a table that leaves out nulls."""
    waiting = {"id": "r-0", "prompt_text": "?"}
    read = reads(as_lines(*[waiting] * 5, ARGILLA))
    assert [(each.line, each.format) for each in read] == [(n, "argilla") for n in range(1, 7)]
    assert [each.task is not None for each in read] == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"input": "x", "output": "y"}, "has the keys input, output. Expected are “prompt” and"),
        ({"prompt": [user("a")], "completion": [assistant("b")], "label": True}, "data for KTO"),
        ({"prompt": "a", "response": "b", "ratings": {"clarity": 4}}, "“preference” and “ranking”"),
    ],
)
def test_a_file_that_fits_none_is_told_its_keys_and_what_to_do(row, says):
    with pytest.raises(BadFile) as refused:
        reads(as_lines(row))
    assert says in str(refused.value)
    assert refused.value.line == 1


def test_a_conversation_that_ends_with_an_answer_is_told_that_it_is_one():
    said = only_problem({"messages": [user("a"), assistant("b")]})
    assert "as in data for SFT" in said
    assert "remove the last message" in said


def test_a_transcript_among_texts_is_refused_though_its_keys_are_the_same():
    text = {"chosen": "The sky is blue.", "rejected": "The sky is green."}
    assert "of the format hh-rlhf, and the file began as trl" in only_problem(text, text, HH)


def test_an_answer_among_prompts_is_refused_and_no_metadata():
    assert "of no known format" in only_problem({"prompt": "a"}, {"prompt": "b", "completion": "c"})


def test_a_named_format_reads_rows_that_would_be_detected_as_another():
    (task,) = tasks({**HH, "prompt": "Hi"}, format="hh-rlhf")
    assert task.meta == {"prompt": "Hi"}


def test_metadata_does_not_make_another_format_of_a_row():
    extra = {
        "fields": {"a": 1},
        "data": {"b": 2},
        "annotation_id": 1,
        "annotator": 2,
        "_server_id": "z",
        **{key: WEBGPT[key] for key in ("question", "answer_0", "answer_1", "score_0")},
        **{key: SHP[key] for key in ("history", "human_ref_A", "human_ref_B")},
        **{key: PKU[key] for key in ("response_0", "response_1", "better_response_id")},
        **{key: ULTRAFEEDBACK[key] for key in ("instruction", "completions")},
    }
    (task,) = tasks(pair() | extra)
    assert task.meta == extra
    (task,) = tasks({"prompt": "Hi", "chosen": "Hello!", "rejected": "No."} | extra)
    assert (judged(task), task.meta) == ({"dataset:trl": [1, 2]}, extra)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("hh-harmless/pairs.jsonl.gz", "hh-rlhf"),
        ("oasst-trees/trees.jsonl.gz", "oasst"),
        ("oasst-trees/rankings.jsonl.gz", "oasst"),
        ("tulu-human-pairs/pairs.jsonl.gz", "touchstone"),
        ("xstest/prompts.jsonl.gz", "prompts"),
        ("sycophancy-political/questions.jsonl.gz", "prompts"),
        ("llmbar-gold/pairs.jsonl.gz", None),
        ("pandalm-3annotators/pairs.jsonl.gz", None),
        ("mt-mqm-ende/segments.jsonl.gz", None),
        ("dices-350/items.jsonl.gz", None),
        ("gsm8k-test/problems.jsonl.gz", None),
        ("mmlu-val/questions.jsonl.gz", None),
        ("truthfulqa/questions.jsonl.gz", None),
        ("truthfulqa/multiple_choice.jsonl.gz", None),
        ("behavior-evals/questions.jsonl.gz", None),
        ("selfinstruct-seed/seed_tasks.jsonl.gz", None),
        ("vicuna80-ai-judge/verdicts.jsonl.gz", None),
        ("tulu-human-pairs/annotations.jsonl.gz", None),
    ],
)
def test_real_files_are_detected_by_their_content(name, found):
    with shared_data(name).open("rb") as stream:
        rows = read_file(stream, format="auto", limits=LIMITS)
        if found is None:
            with pytest.raises(BadFile, match="The format is not recognised: the first row has"):
                next(rows)
        else:
            assert {row.format for row in islice(rows, 20)} == {found}
