"""Whatever a row holds, it becomes a task that can be stored or a sentence, and never an error."""

import copy
import io
import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.corpus.formats import FORMATS, BadFile, Limits, read_file
from app.corpus.formats.reading import detected
from app.corpus.formats.rows import ImportedAnnotation, ImportedTask
from app.corpus.formats.values import check_json
from tests.corpus.files import pair
from tests.corpus.reading import LIMITS, as_lines, judged, reads, tasks, tasks_in
from tests.corpus.samples import OASST_TREE, SAMPLES, flat
from tests.corpus.test_wrong_input import Endless, peak_while

JUNK = [None, True, 0, -1.5, "", "x", "[1, null]", '[{"a": "\\ud800"}]', [], [[]], [None], {}]
JUNK += [{"a": [1]}, ["x", 3], [{"value": "x", "rank": None}], {"value": [1], "rank": ["x"]}]
HOSTILE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | (
    st.sampled_from(
        [
            "\n\nHuman: x\n\nAssistant: y",
            '=HYPERLINK("x")',
            "\u202eevil",
            "👩‍👩‍👧",
            '"}],',
            "]",
            "[{",
            "\\",
        ]
    )
)


def is_text(value):
    return value is None or isinstance(value, str)


def assert_storable(task: ImportedTask) -> None:
    """What the tables take: a wrong type would stop the whole import with an error of ours."""
    check_json(task.meta)
    assert all(set(turn) == {"role", "content"} for turn in task.messages)
    assert all(isinstance(part, str) for turn in task.messages for part in turn.values())
    assert task.messages[-1]["role"] == "user"
    assert len(task.responses) != 1
    for response in task.responses:
        check_json(response.meta)
        assert isinstance(response.text, str)
        assert is_text(response.source)
    names = (task.system, task.external_id, task.source, task.language)
    assert all(map(is_text, names))
    assert all(isinstance(tag, str) for tag in task.tags)
    for judgement in task.annotations:
        assert_sound(judgement, responses=len(task.responses))


def assert_sound(judgement: ImportedAnnotation, *, responses: int) -> None:
    ranks = judgement.ranks
    assert [1 + sum(other < rank for other in ranks) for rank in ranks] == ranks
    assert len(ranks) == responses
    assert judgement.annotator == judgement.annotator.strip()
    assert 0 < len(judgement.annotator) <= 200
    assert is_text(judgement.rationale)
    assert judgement.created_at is None or isinstance(judgement.created_at, datetime)
    check_json(judgement.meta)


def places(value, path=()):
    """Every place inside a row."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))
        else:
            yield (*path, key)


def replaced(row, path, junk):
    made = copy.deepcopy(row)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return made


@pytest.mark.parametrize("name", SAMPLES)
def test_a_row_with_anything_at_any_place_is_a_task_or_a_sentence(name):
    for row in SAMPLES[name]:
        made = [replaced(row, path, junk) for path in places(row) for junk in JUNK]
        for read in reads(as_lines(*made), format=name):
            assert (read.task is None) != (read.problem is None)
            if read.task is not None:
                assert_storable(read.task)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_row_with_anything_at_any_place_is_detected_or_not_and_no_error(name):
    for row in SAMPLES[name]:
        for path in places(row):
            for junk in JUNK:
                found = detected(replaced(row, path, junk))
                assert found is None or found in FORMATS


def test_messages_of_a_tree_with_anything_at_any_place_are_tasks_or_sentences():
    rows = flat(OASST_TREE)
    for path in filter(lambda path: len(path) > 1, places(rows)):
        for junk in JUNK:
            for read in reads(as_lines(*replaced(rows, path, junk)), format="oasst"):
                assert (read.task is None) != (read.problem is None)
                if read.task is not None:
                    assert_storable(read.task)


@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=4), st.booleans())
def test_a_list_of_hostile_texts_is_read_like_lines(texts, is_pretty):
    rows = [pair(f"Q {a}", responses=[f"a{b}", f"b{c}"], further={a: [b]}) for a, b, c in texts]
    for ascii_only in (True, False):
        written = json.dumps(rows, indent=2 if is_pretty else None, ensure_ascii=ascii_only)
        assert tasks_in(written) == tasks(*rows)


@given(st.lists(HOSTILE, min_size=3, max_size=3))
def test_texts_come_through_every_format_as_they_are(texts):
    prompt, first, second = (f"{text}{n}" for n, text in enumerate(texts))
    rows = [
        {"prompt": prompt, "response_0": first, "response_1": second, "better_response_id": 0},
        {"question": {"full_text": prompt}, "answer_0": first, "answer_1": second, "score_0": 1,
         "score_1": -1},
        {"history": prompt, "human_ref_A": first, "human_ref_B": second, "labels": 1},
        {"instruction": prompt, "completions": [
            {"response": first, "overall_score": 2}, {"response": second, "overall_score": 1}]},
        {"id": "x", "fields": {"prompt": prompt, "response1": first, "response2": second},
         "responses": {"q": [{"value": "response1", "user_id": "u"}]}},
        {"tree_id": "t", "conversation": [{"role": "prompter", "text": prompt}], "replies": [
            {"text": first, "rank": 0}, {"text": second, "rank": 1}]},
    ]  # fmt: skip
    for row in rows:
        (task,) = tasks(row)
        assert task.messages == [{"role": "user", "content": prompt}]
        assert [response.text for response in task.responses] == [first, second]
        assert list(judged(task).values()) == [[1, 2]]


class Trickle(io.RawIOBase):
    """A file that gives a few bytes at a time, so that every text is cut somewhere."""

    def __init__(self, content, size):
        self.inner, self.size = io.BytesIO(content), size

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        return self.inner.seek(offset, whence)

    def readinto(self, buffer):
        piece = self.inner.read(min(self.size, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_elements_may_be_cut_anywhere_by_the_reading(monkeypatch, size):
    monkeypatch.setattr("app.corpus.formats.arrays.PIECE", size)
    rows = [
        pair('a "quoted" \\ back', responses=["{[", "]}"]),
        pair("ü👩‍👩‍👧\u2028", n=[1, {"x": "\\"}]),
    ]
    content = json.dumps(rows, indent=1, ensure_ascii=False).encode()
    stream = io.BufferedReader(Trickle(content, size), 4096)
    read = list(read_file(stream, format="auto", limits=LIMITS))
    assert [row.task for row in read] == tasks(*rows)


def test_objects_spread_over_lines_are_read_with_the_line_they_begin_at():
    content = "\n\n".join(json.dumps(pair(str(n)), indent=2) for n in range(3))
    size = json.dumps(pair(), indent=2).count("\n") + 2
    assert [row.line for row in reads(content)] == [1, 1 + size, 1 + 2 * size]
    assert len(tasks_in(content)) == 3


def test_a_bad_element_is_refused_by_its_number_and_line_and_the_others_are_read():
    rows = reads(
        b'[\n{"prompt": "a"},\n{"prompt": "b", "prompt": "c"},\n{"prompt": ""},\n'
        b'{"prompt": caf\xe9},\n{"prompt": "d", "n": ' + b"[" * 10_000 + b"]" * 10_000 + b"},\n"
        b'{"prompt": "e"}]'
    )
    assert [row.line for row in rows] == [2, 3, 4, 5, 6, 7]
    assert [row.task is not None for row in rows] == [True, False, False, False, False, True]
    said = [row.problem for row in rows[1:5]]
    assert said[0].startswith("Element 2: The key “prompt” stands twice")
    assert said[1].startswith("Element 3: The prompt is empty")
    assert said[2].startswith("Element 4: This is not")
    assert said[3].startswith("Element 5: This is nested far too deep")


class Opened(Endless):
    """A list that begins, and never comes to an end."""

    def __init__(self, begin):
        super().__init__(2 * 10**9)
        self.opening = begin

    def readinto(self, buffer):
        at = self.at
        count = super().readinto(buffer)
        if at == 0:
            buffer[: len(self.opening)] = self.opening
        return count


@pytest.mark.parametrize("begin", [b'[{"prompt": "', b'[{"a": [', b"["])
def test_a_list_that_never_ends_is_refused_in_little_memory(begin):
    stream, limits = Opened(begin), Limits(10**9, 10**5, 10**6)

    def work():
        with pytest.raises(BadFile, match="Element 1, which begins at line 1, did not end"):
            list(read_file(io.BufferedReader(stream), format="auto", limits=limits))

    assert peak_while(work) < 10 * 10**6
    assert stream.at < 10 * 10**6


def test_a_list_of_nothing_but_brackets_is_refused_at_once():
    with pytest.raises(BadFile, match="nested more than 100,000 levels deep"):
        reads(b"[" * 5_000_000)


def test_a_long_list_is_read_in_little_memory():
    row = json.dumps(pair("x" * 1000))
    content = f"[{','.join([row] * 4_000)}]".encode()

    def work():
        count = sum(1 for _ in read_file(io.BytesIO(content), format="auto", limits=LIMITS))
        assert count == 4_000

    assert peak_while(work) < 4 * 10**6


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(10**6, 10**5, 10**6), "unpacks to more than 1 MB"),
        (Limits(10**9, 10**6, 50), "more than 50 rows"),
    ],
)
def test_a_list_of_too_much_is_refused(limits, says):
    content = json.dumps([pair("x" * 1000)] * 2000)
    with pytest.raises(BadFile, match=says):
        reads(content, limits=limits)


def test_an_element_that_is_too_long_is_refused_alone_where_its_end_is_seen():
    rows = reads(json.dumps([pair(), pair("x" * 1_500_000), pair()]))
    assert [row.task is not None for row in rows] == [True, False, True]
    assert "Element 2: This is longer than 1 MB" in rows[1].problem
