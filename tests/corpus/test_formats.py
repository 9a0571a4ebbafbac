"""What lines of each format mean, and in which containers they may come."""

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.corpus.formats import BadFile, ImportedTask, Limits, read_file
from tests.corpus.files import pair

LIMITS = Limits(file_bytes=10**9, line_bytes=10**6, rows=10**6)


def tasks(*rows, format="auto") -> list[ImportedTask]:  # noqa: A002
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return tasks_in(content, format=format)


def tasks_in(content, *, format="auto"):  # noqa: A002
    rows = list(read_file(io.BytesIO(content), format=format, limits=LIMITS))
    assert [row.problem for row in rows] == [None] * len(rows)
    return [row.task for row in rows]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def test_a_prompt_is_a_text_or_messages_and_a_system_prompt_may_stand_in_either():
    as_text, as_messages, with_system = tasks(
        pair("Hi", system="Be kind."),
        pair([user("Hi")], system="Be kind."),
        pair([{"role": "system", "content": "Be kind."}, user("Hi")]),
    )
    assert as_text.messages == as_messages.messages == with_system.messages == [user("Hi")]
    assert {each.system for each in (as_text, as_messages, with_system)} == {"Be kind."}


def test_everything_a_touchstone_line_can_say_is_kept():
    (task,) = tasks(
        {
            "id": 17,
            "prompt": "2 + 2?",
            "responses": [{"text": "4", "source": "model:a", "latency": 3}, "5"],
            "source": "arithmetic",
            "tags": ["maths", "maths", " short "],
            "language": "en",
            "expertise": ["Maths", "number  theory", "maths"],
            "gold": {"prefers": [[0, 1]], "explanation": "Count."},
            "annotations": [
                {
                    "annotator": " Ana  B ",
                    "ranks": [1, 2],
                    "strength": 3,
                    "rationale": "It is four.",
                    "created_at": "2026-01-02T03:04:05Z",
                },
                {"annotator": "model:judge", "ranks": [2, 2]},
            ],
            "difficulty": 0.2,
            "nothing": None,
        }
    )
    assert (task.external_id, task.source, task.tags) == ("17", "arithmetic", ["maths", "short"])
    assert (task.language, task.expertise) == ("en", ["maths", "number theory"])
    assert task.meta == {"difficulty": 0.2}
    assert [(each.text, each.source, each.meta) for each in task.responses] == [
        ("4", "model:a", {"latency": 3}),
        ("5", None, {}),
    ]
    assert (task.gold.prefers, task.gold.explanation) == ([[0, 1]], "Count.")
    first, second = task.annotations
    assert (first.annotator, first.ranks, first.strength) == ("Ana B", [1, 2], 3)
    assert first.created_at.isoformat() == "2026-01-02T03:04:05+00:00"
    assert (second.annotator, second.ranks) == ("model:judge", [1, 1])


@pytest.mark.parametrize(
    ("given", "ranks"),
    [
        ([1, 2, 2, 3], [1, 2, 2, 4]),
        ([0, 0, 5, 2], [1, 1, 4, 3]),
        ([3.0, 1.0, 2.0, 1.0], [4, 1, 3, 1]),
    ],
)
def test_ranks_may_be_any_numbers_in_the_right_order(given, ranks):
    line = {"prompt": "x", "responses": list("abcd")}
    (task,) = tasks(line | {"annotations": [{"annotator": "T1", "ranks": given}]})
    assert task.annotations[0].ranks == ranks


def test_hh_transcripts_split_where_the_last_common_turn_of_the_user_ends():
    head = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: How are you?"
    (task,) = tasks(
        {
            "chosen": f"{head}\n\nAssistant: Fine.",
            "rejected": f"{head}\n\nAssistant: Fine, and you?",
        }
    )
    assert task.messages == [user("Hi"), assistant("Hello."), user("How are you?")]
    assert [response.text for response in task.responses] == ["Fine.", "Fine, and you?"]
    (judgement,) = task.annotations
    assert (judgement.annotator, judgement.ranks) == ("dataset:hh-rlhf", [1, 2])


def test_hh_transcripts_that_part_early_keep_the_turns_that_follow():
    head = "\n\nHuman: Hi\n\nAssistant:"
    (task,) = tasks(
        {"chosen": f"{head} Yes?\n\nHuman: Go.\n\nAssistant: Ok.", "rejected": f"{head} No."}
    )
    assert task.messages == [user("Hi")]
    longer = task.responses[0]
    assert longer.text == "Yes?\n\nHuman: Go.\n\nAssistant: Ok."
    assert longer.meta == {"messages": [assistant("Yes?"), user("Go."), assistant("Ok.")]}


@pytest.mark.parametrize("begin", ["Human:", "\n\nHuman:", " \n\nHuman:", "\r\n\r\nHuman:"])
def test_hh_transcripts_may_have_lost_or_changed_their_blank_lines(begin):
    blank = "\r\n\r\n" if "\r" in begin else "\n\n"
    head = f"{begin} Hi{blank}Assistant:"
    (task,) = tasks({"chosen": f"{head} Yes.", "rejected": f"{head} No."})
    assert task.messages == [user("Hi")]
    assert [response.text for response in task.responses] == ["Yes.", "No."]
    assert task.annotations[0].annotator == "dataset:hh-rlhf"


def test_a_transcript_that_begins_with_no_turn_is_refused_and_not_taken_for_a_text():
    """As one of another format its markers would end up in the prompt."""
    head = "Hi\n\nAssistant:"
    line = json.dumps({"chosen": f"{head} Yes.", "rejected": f"{head} No."}).encode()
    (row,) = read_file(io.BytesIO(line), format="auto", limits=LIMITS)
    assert "“chosen” does not begin with a turn" in row.problem


def test_an_empty_reply_in_a_published_pair_is_a_reply():
    head = "\n\nHuman: Hi\n\nAssistant:"
    (task,) = tasks({"chosen": f"{head} Hello.", "rejected": head})
    assert [response.text for response in task.responses] == ["Hello.", ""]


def test_trl_in_its_four_shapes_means_the_same():
    shapes = tasks(
        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        {
            "prompt": [user("The sky is")],
            "chosen": [assistant(" blue.")],
            "rejected": [assistant(" green.")],
        },
        {
            "chosen": [user("The sky is"), assistant(" blue.")],
            "rejected": [user("The sky is"), assistant(" green.")],
        },
        {
            "prompt": "The sky is",
            "chosen": [user("The sky is"), assistant(" blue.")],
            "rejected": [user("The sky is"), assistant(" green.")],
        },
    )
    for task in shapes:
        assert task.messages == [user("The sky is")]
        assert [response.text for response in task.responses] == [" blue.", " green."]


def test_an_implicit_prompt_never_ends_inside_a_word():
    (task,) = tasks({"chosen": "Colour: blue", "rejected": "Colour: black"})
    assert task.messages == [user("Colour:")]
    assert [response.text for response in task.responses] == [" blue", " black"]


def test_trl_keeps_margin_and_scores():
    (task,) = tasks(
        {
            "prompt": "x",
            "chosen": "a",
            "rejected": "b",
            "margin": 0.5,
            "score_chosen": 4.0,
            "score_rejected": 1,
        }
    )
    assert task.meta == {"margin": 0.5}
    assert [response.meta for response in task.responses] == [{"score": 4.0}, {"score": 1}]


def test_prompts_alone_wait_for_responses():
    by_text, by_messages = tasks(
        {"prompt": "Hi", "topic": "greeting"}, {"messages": [user("Yo")]}, format="prompts"
    )
    assert (by_text.responses, by_text.meta) == ([], {"topic": "greeting"})
    assert by_messages.messages == [user("Yo")]


def test_an_answer_is_never_dropped_into_the_metadata_of_a_prompt():
    with pytest.raises(BadFile, match="not recognised"):
        tasks({"prompt": "x", "completion": "y"})


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_json_lines_may_have_a_bom_any_line_ends_and_no_end(newline):
    content = newline.join([json.dumps(pair("a")), "", json.dumps(pair("b"))]).encode()
    assert len(tasks_in(b"\xef\xbb\xbf" + content)) == 2
    assert len(tasks_in(gzip.compress(content))) == 2


def test_csv_cells_hold_texts_numbers_and_json():
    content = (
        "prompt,chosen,rejected,margin,tags,topic\n"
        'Hi,"Hello, you",No.,0.5,"a, b",x\n'
        '"[{""role"": ""user"", ""content"": ""Hi""}]","two\nlines",No.,,,\n'
    )
    first, second = tasks_in(content.encode())
    assert [response.text for response in first.responses] == ["Hello, you", "No."]
    assert (first.meta, first.tags) == ({"margin": 0.5, "topic": "x"}, ["a", "b"])
    assert second.messages == [user("Hi")]
    assert (second.responses[0].text, second.meta) == ("two\nlines", {})


def test_csv_can_hold_whole_tasks():
    content = (
        "prompt,responses,language,expertise\n"
        'Hi,"[""a"", {""text"": ""b"", ""source"": ""model:x""}]",de-AT,"law, tax"\n'
    )
    (task,) = tasks_in(content.encode(), format="csv")
    assert [(each.text, each.source) for each in task.responses] == [("a", None), ("b", "model:x")]
    assert (task.language, task.expertise) == ("de-AT", ["law", "tax"])


def test_parquet_rows_are_like_lines():
    rows = [pair("a", annotations=[{"annotator": "T1", "ranks": [1, 2]}]), pair("b", id="x")]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=None), sink)
    from_parquet = tasks_in(sink.getvalue())
    as_lines = tasks(rows[0], rows[1] | {"id": None})
    assert from_parquet[0] == as_lines[0]
    assert from_parquet[1].messages == [user("b")]


def test_a_parquet_map_is_an_object():
    """Spark writes the messages of a conversation as maps, and counts by name as well."""
    messages = [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]] * 2
    texts = pa.map_(pa.string(), pa.string())
    table = pa.table(
        {
            "prompt": pa.array(
                [[list(m.items()) for m in one] for one in messages], pa.list_(texts)
            ),
            "responses": [["x", "y"]] * 4,
            "votes": pa.array(
                [[("up", 1)], None, [], [("up", 2), ("down", 3)]], pa.map_(pa.string(), pa.int64())
            ),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    found = tasks_in(sink.getvalue())
    assert [task.messages for task in found] == messages
    assert [task.meta.get("votes") for task in found] == [{"up": 1}, None, {}, {"up": 2, "down": 3}]


def test_a_parquet_map_with_a_key_twice_is_refused():
    """One of the two values would be lost in silence."""
    twice = pa.array([[("up", 1), ("up", 2)]], pa.map_(pa.string(), pa.int64()))
    sink = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a"], "responses": [["x", "y"]], "votes": twice}), sink)
    with pytest.raises(BadFile, match="A map in row 1 of the Parquet file has a key twice; keep"):
        tasks_in(sink.getvalue())
