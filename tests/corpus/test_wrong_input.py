"""What is wrong with a file is said line by line, in words that help, and nothing half stays."""

import gzip
import io
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.corpus.formats import BadFile, Limits, read_file
from tests.corpus.files import brought_in, counts, figures, json_lines, pair, problems

LIMITS = Limits(file_bytes=10**9, line_bytes=10**6, rows=10**6)
HH = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello!", "rejected": "\n\nHuman: Hi\n\nAssistant: No."}
TRL = {"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}


def read(content, *, format="auto", limits=LIMITS):  # noqa: A002
    if isinstance(content, str):
        content = content.encode()
    return list(read_file(io.BytesIO(content), format=format, limits=limits))


def only_problem(row, *, format="auto"):  # noqa: A002
    """What is said of a line; a good one of the same format stands before it."""
    line = row if isinstance(row, str) else json.dumps(row)
    *_, read_row = read(line, format=format)
    assert read_row.task is None
    return read_row.problem


def deep(levels):
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (pair() | {"responses": ["only one"]}, "needs 2 to 10 responses, and this line has 1"),
        (pair() | {"responses": [str(n) for n in range(11)]}, "and this line has 11"),
        (
            pair() | {"responses": "4"},
            "“responses” is a text, and must be a list of 2 to 10 responses",
        ),
        (pair() | {"responses": ["4", 5]}, "Response 2 must be a text or an object"),
        (pair() | {"responses": ["4", {"source": "x"}]}, "Response 2 needs a “text”"),
        (pair() | {"responses": ["4", "4"]}, "Responses 1 and 2 are the same"),
        (pair() | {"responses": ["", "  "]}, "All responses are empty"),
        (pair(""), "The prompt is empty"),
        (pair(None), "“prompt” is missing"),
        (pair(7), "“prompt” must be a text or a list of messages, not a number"),
        (pair([{"role": "narrator", "content": "x"}]), "has the role 'narrator'; use system, user"),
        (pair([{"role": "user"}]), "message 1 of “prompt” needs a text as “content”, not null"),
        (pair([{"role": "assistant", "content": "x"}]), "must end with a message of the user"),
        (pair(tags="a"), "“tags” must be a list of texts"),
        (pair(expertise=3), "“expertise” must be a list of texts"),
        (pair(expertise=["a, b"]), "“a, b” is no tag of expertise"),
        (pair(id="x" * 1001), "“id” has 1,001 characters, and 1,000 are allowed. Shorten it, or"),
        (pair(source="x" * 1001), "“source” has 1,001 characters"),
        (pair(language="x" * 1001), "“language” has 1,001 characters"),
        (pair(tags=["ok", "x" * 1001]), "A tag has 1,001 characters"),
        (pair(tags=[str(n) for n in range(1001)]), "has 1,001 tags, and 1,000 are allowed"),
        (
            pair() | {"responses": ["4", {"text": "5", "source": "x" * 1001}]},
            "The source of response 2 has 1,001 characters",
        ),
        (pair(gold={"prefers": [[0, 2]]}), "two different numbers from 0 to 1"),
        (pair(gold={"prefers": [[0, 0]]}), "two different numbers from 0 to 1"),
        (pair(gold={"prefers": [[0, 1]], "qualification": "yes"}), "must be true or false"),
        (pair(gold={"prefers": []}), "“gold” names no pair"),
        (pair(annotations=[{"ranks": [1, 2]}]), "annotation 1 needs an “annotator”"),
        (pair(annotations=[{"annotator": "T1", "ranks": [1]}]), "one number per response (2)"),
        (pair(annotations=[{"annotator": "T1", "ranks": [1, "2"]}]), "use whole numbers"),
        (pair(annotations=[{"annotator": "T1", "ranks": [1, 2], "strength": 9}]), "from 1 to 4"),
        (pair(annotations=[{"annotator": "T1", "ranks": [1, 1], "strength": 2}]), "is a tie and"),
        (
            pair(annotations=[{"annotator": "T1", "ranks": [1, 2], "created_at": "yesterday"}]),
            "write a time like 2026-05-19T13:11:45Z",
        ),
        (pair("a\0b"), "“prompt” contains a NUL character"),
        (pair("a\ud800b"), "half of a surrogate pair"),
        (HH | {"rejected": HH["chosen"]}, "are the same, so there is nothing to choose"),
        (HH | {"rejected": 3}, "must both be texts or both be lists"),
        (HH | {"rejected": "\n\nHuman: Bye\n\nAssistant: x"}, "do not begin with the same message"),
        (HH | {"rejected": "\n\nHuman: Hi"}, "must both go on after the prompt"),
        (TRL | {"prompt": "   "}, "The prompt is empty"),
        (TRL | {"chosen": ["a"]}, "they are a list and a text"),
        (TRL | {"margin": "big"}, "“margin” must be a number, not a text"),
        ({"chosen": "Yes!", "rejected": "No."}, "there is no prompt. Add it as “prompt”"),
        ({"prompt": ["x"]}, "message 1 of “prompt” must be an object"),
        (
            pair(annotations=[{"annotator": f"T{n}", "ranks": [1, 2]} for n in range(1001)]),
            "has 1,001 annotations, and 1,000 are allowed. Put the others on lines of their own",
        ),
        ('{"prompt": "x", "responses": ["a", "b"', "cut off before its end"),
        ('{"prompt": "x', "cut off before its end"),
        ('{"prompt": "x"}{"prompt": "y"}', "Extra data at character 16. Put each object on a line"),
        ('{"prompt": "x", "prompt": "y"}', "The key “prompt” stands twice in one object"),
        ('{"prompt": "x", "meta": [{"a": 1, "a": 1}]}', "The key “a” stands twice"),
        ('{"prompt": "x" "responses": ["a", "b"]}', "This is not JSON: Expecting ',' delimiter"),
        ('{"prompt": "x", "responses": ["a", "b"], "score": NaN}', "NaN is no JSON value"),
        ('{"prompt": "x", "responses": ["a", "b"], "score": 1e999}', "infinite or not a number"),
        ('{"prompt": "x", "responses": ["a", "b"], "n": ' + "9" * 5000 + "}", "too long to read"),
        ('{"prompt": "x", "responses": ["a", "b"], "n": ' + deep(100) + "}", "more than 64 levels"),
        ('{"prompt": "x", "responses": ["a", "b"], "n": ' + deep(100_000) + "}", "far too deep"),
        ('[{"prompt": "x"}]\n[{"prompt": "y"}]', "and this one is a list"),
    ],
)
def test_a_bad_line_is_told_in_a_sentence(row, says):
    assert says in only_problem(row)


def test_labels_may_be_as_long_as_addresses():
    longest = "x" * 1000
    row = pair(id=longest, source=longest, language=longest, tags=[longest])
    (read_row,) = read(json.dumps(row | {"responses": ["4", {"text": "5", "source": longest}]}))
    assert read_row.task is not None, read_row.problem


def test_elements_of_a_list_that_are_no_objects_are_refused_by_their_numbers():
    rows = read('[{"prompt": "x"},\n"words", 3.5,\n\n[1, [2]], null, {"prompt": "y"}]')
    assert [row.line for row in rows] == [1, 2, 2, 4, 4, 4]
    assert [row.problem for row in rows] == [
        None,
        *(
            f"Element {n}: Each row must be one JSON object {{…}}, and this one is {kind}."
            for n, kind in [(2, "a text"), (3, "a number"), (4, "a list"), (5, "null")]
        ),
        None,
    ]


def test_a_line_that_is_not_utf8_is_told_with_its_place():
    (row,) = read(b'{"prompt": "caf\xe9"}\n')
    assert "not UTF-8 (byte 16 of the line)" in row.problem


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (pair(), pair() | {"responses": []}),
        (HH, HH | {"chosen": ""}),
        (TRL, TRL | {"chosen": 1}),
        ({"prompt": "x"}, {"prompt": ""}),
    ],
    ids=["touchstone", "hh-rlhf", "trl", "prompts"],
)
def test_one_bad_line_stops_all_or_is_skipped_as_asked(session, project, tmp_path, good, bad):
    file = json_lines(tmp_path / "data.jsonl", [good, bad, good])
    before = counts(session, project)

    strict = brought_in(session, project, file)

    assert (strict.state, figures(strict)) == ("failed", (3, 0, 0, 1))
    assert list(problems(strict)) == [2]
    assert "1 line was refused, so nothing was imported" in strict.error
    assert counts(session, project) == before
    lenient = brought_in(session, project, file, skip_bad_lines=True)
    assert (lenient.state, figures(lenient)) == ("succeeded", (3, 1, 1, 1))
    assert list(problems(lenient)) == [2]


def test_gold_that_contradicts_itself_is_a_bad_line(session, project, tmp_path):
    line = pair() | {"responses": ["a", "b", "c"]}
    line["gold"] = {"prefers": [[0, 1], [1, 2], [2, 0]]}
    row = brought_in(session, project, json_lines(tmp_path / "gold.jsonl", [line]))
    assert "its pairs form a cycle" in problems(row)[1]


def test_a_strength_beyond_the_projects_levels_is_a_bad_line(session, project, tmp_path):
    line = pair(annotations=[{"annotator": "T1", "ranks": [1, 2], "strength": 4}])
    row = brought_in(session, project, json_lines(tmp_path / "data.jsonl", [line]))
    assert "this project has 3 levels. Raise them in the settings" in problems(row)[1]


class Endless(io.RawIOBase):
    """A file of one line of `size` bytes, made as it is read."""

    def __init__(self, size):
        self.size, self.at = size, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        assert (offset, whence) == (0, 0)
        self.at = 0
        return 0

    def readinto(self, buffer):
        count = min(len(buffer), self.size - self.at)
        buffer[:count] = b"x" * count
        self.at += count
        return count


def peak_while(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_line_of_two_gigabytes_is_refused_by_its_number_in_little_memory():
    stream = Endless(2 * 10**9)

    def work():
        with pytest.raises(BadFile, match="Line 1 is longer than 1 MB") as refused:
            list(read_file(io.BufferedReader(stream), format="auto", limits=LIMITS))
        assert refused.value.line == 1
        assert "did not even end within 16 MB" in str(refused.value)

    assert peak_while(work) < 20 * 10**6
    assert stream.at < 30 * 10**6  # and it is not read to its end


def test_a_long_line_between_others_is_refused_alone():
    good = json.dumps(pair())
    rows = read("\n".join([good, json.dumps(pair("x" * 2_000_000)), good]))
    assert [(row.line, row.task is not None) for row in rows] == [(1, True), (2, False), (3, True)]
    assert "Line 2 is longer than 1 MB" in rows[1].problem


def test_a_gzip_bomb_is_refused_in_little_memory():
    bomb = gzip.compress(b"0" * 10**8, mtime=0)

    def work():
        with pytest.raises(BadFile, match="Line 1 is longer than 1 MB"):
            read(bomb)

    assert peak_while(work) < 20 * 10**6


def test_a_file_that_unpacks_to_too_much_is_refused():
    line = json.dumps(pair("x" * 1000)).encode() + b"\n"
    with pytest.raises(BadFile, match="unpacks to more than 1 MB"):
        read(gzip.compress(line * 2000), limits=Limits(10**6, 10**5, 10**6))


def test_a_file_of_too_many_lines_is_refused_blank_ones_too():
    with pytest.raises(BadFile, match="more than 100 lines"):
        read(b"\n" * 101, limits=Limits(10**6, 10**6, 100))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "The file is empty"),
        (b"\n\n  \n", "The file has no rows"),
        (b'{"prompt": "x"}\r{"prompt": "y"}\r', "The lines end as on old Macs"),
        (b"prompt,chosen,rejected\rHi,a,b\r", "The lines end as on old Macs"),
        (
            gzip.compress(b'{"prompt": "x"}\n', mtime=0) + b"more",
            "damaged or ends too early. Compress",
        ),
        (b"\x00\x01\x02\x03" * 100, "This is a binary file, not text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "This is a binary file, not text"),
        (b"PK\x03\x04rest", "a zip archive; unpack it"),
        (b"\x28\xb5\x2f\xfdrest", "compressed with zstd; use gzip"),
        ('{"prompt": "x"}'.encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        ('{"prompt": "x"}'.encode("utf-16-le"), "UTF-16 text; save it as UTF-8"),
        ('[\r\n{"prompt": "x"}]'.encode("utf-16-be"), "UTF-16 text; save it as UTF-8"),
        (gzip.compress(b'{"prompt": "x"}\n' * 10_000, mtime=0)[:-200], "damaged or ends too early"),
        (gzip.compress(b'{"prompt": "x"}\n', mtime=0)[:12], "damaged or ends too early"),
        (b'[\n  {"prompt": "x"},\n  {"prompt": "y"}\n', "cut off after element 2"),
        (b'[{"prompt": "x"}, {"prompt": ', "cut off inside element 2, which begins at line 1"),
        (b'{\n  "prompt": "x"\n', "cut off inside element 1"),
        (b'[{"prompt": "x"}]\n{"prompt": "y"}\n', "The list ends at line 2, and something"),
        (b"[]", "The file has no rows"),
        (b'{"question": "x", "answer": "y"}\n', "the first row has the keys answer, question"),
        (
            b'{"tree_id": "1", "prompt": {"text": "x"}}\n',
            "the first row has the keys prompt, tree_id",
        ),
        (b"PAR1 and then nothing of it", "Parquet file ends too early"),
        (b"PAR1" + b"x" * 50 + b"\xff\xff\xff\xffPAR1", "too many columns or groups"),
        (b"PAR1" + b"x" * 50 + b"\x20\x00\x00\x00PAR1", "The Parquet file cannot be read"),
        (b'prompt,chosen,rejected\n"never closed,a,b\nx,y,z\n', "in the row that begins at line 2"),
        (b"just some words", "This is not JSON: each line must be one JSON object"),
        (b"Prompt,Chosen,Rejected\nHi,a,b\n", "name its columns in small letters, with commas"),
        (b"<!DOCTYPE html>\n<script>\n{}\n", "looks like a web page (HTML or XML), not data"),
        (b'<?xml version="1.0"?><rows/>', "looks like a web page (HTML or XML), not data"),
        (b"- prompt: Hi\n  responses:\n  - a\n  - b\n", "This looks like YAML. Write it as JSON"),
        (b"# rows\n---\nprompt: Hi\n", "This looks like YAML. Write it as JSON"),
        (b"prompt;chosen;rejected\nHi;a;b\n", "looks like CSV with semicolons between its cells"),
        (b'"prompt"\t"chosen"\nHi\ta\n', "looks like CSV with tabs between its cells"),
        (b"prompt,prompt\na,b\n", "names a column twice"),
        (b"prompt,chosen,rejected\ncaf\xe9,a,b\n", "Line 2 is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_what_to_do(content, says):
    with pytest.raises(BadFile) as refused:
        read(content)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "first", ["<b>notes</b>", "prompt: Hi", "# a comment", "just some words", "x" * 5000]
)
def test_one_line_of_something_else_is_refused_alone(first):
    rows = read(f"{first}\n{json.dumps(pair())}\n")
    assert [row.task is not None for row in rows] == [False, True]
    assert "This is not JSON" in rows[0].problem


def test_a_csv_file_by_name_needs_commas_too():
    with pytest.raises(BadFile, match="CSV with semicolons between its cells"):
        read(b"prompt;chosen;rejected\nHi;a;b\n", format="csv")


def test_a_wrong_format_is_told_line_by_line():
    (row,) = read(json.dumps(HH), format="touchstone")
    assert "“prompt” is missing" in row.problem


def test_a_csv_row_with_missing_cells_is_a_bad_line():
    rows = read(b"prompt,chosen,rejected\nHi,a\nHi,a,b\n")
    assert "has 2 cells and the header 3" in rows[0].problem
    assert rows[1].task is not None


def test_a_parquet_file_with_too_many_columns_is_refused(tmp_path):
    table = pa.table({f"c{n}": [1] for n in range(201)})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    with pytest.raises(BadFile, match="201 columns; 200 are allowed"):
        read(sink.getvalue())


def parquet(columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


@pytest.mark.parametrize("nested", [False, True])
def test_a_parquet_text_that_is_stored_once_and_meant_often_takes_little_memory(nested):
    text = "x" * 900_000
    cells = pa.array([text] * 200).dictionary_encode()
    file = parquet({"prompt": cells if not nested else [[{"role": "user", "content": text}]] * 200})
    assert len(file) < 10**6
    rows = 0

    def work():
        nonlocal rows
        for row in read_file(io.BytesIO(file), format="auto", limits=LIMITS):
            assert row.task is not None, row.problem
            assert len(row.task.messages[0]["content"]) == 900_000
            rows += 1

    assert peak_while(work) < 20 * 10**6
    assert rows == 200


def test_a_parquet_file_that_has_a_column_twice_is_refused():
    """One of the two would be lost in silence."""
    once = pa.table({"prompt": ["x"], "responses": [["a", "b"]]})
    sink = io.BytesIO()
    pq.write_table(once.append_column("prompt", pa.array(["y"])), sink)
    with pytest.raises(BadFile, match="The column “prompt” stands twice; keep one of them"):
        read(sink.getvalue())


def test_a_parquet_row_that_is_too_long_is_refused_alone():
    rows = read(parquet({"prompt": ["x", "y" * 1_100_000, "z"]}))
    assert [row.problem is None for row in rows] == [True, False, True]
    assert "Line 2 is longer than 1 MB" in rows[1].problem


def test_a_parquet_file_that_unpacks_to_too_much_is_refused():
    file = parquet({"prompt": ["x" * 100_000] * 100})
    with pytest.raises(BadFile, match="unpacks to more than 2 MB"):
        read(file, limits=Limits(2 * 10**6, 10**6, 10**6))


def test_rows_say_how_large_they_are_metadata_too():
    """An import writes when its rows are large enough, whatever makes them so."""
    (row,) = read(json.dumps(pair(further={"text": "x" * 5000})))
    assert row.size > 5000
    (row,) = read(parquet({"prompt": ["x"], "further": ["x" * 5000]}))
    assert row.size > 5000
    (row,) = read("prompt,further\nx," + "x" * 5000)
    assert row.size > 5000


def test_a_line_with_responses_among_prompts_is_refused_unless_the_format_is_named():
    lines = "\n".join([json.dumps({"prompt": "x"}), json.dumps(pair())])
    assert "the first line was a prompt alone" in read(lines)[1].problem
    assert read(lines, format="prompts")[1].task.meta == {"responses": ["4", "5"]}


def test_no_more_than_a_thousand_bad_lines_are_kept_but_all_are_counted(session, project, tmp_path):
    file = json_lines(tmp_path / "bad.jsonl", [pair(), *[{"prompt": "x", "responses": []}] * 1100])
    row = brought_in(session, project, file, skip_bad_lines=True)
    assert (len(row.errors), row.rows_rejected) == (1000, 1100)
