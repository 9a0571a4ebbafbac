"""Records of annotation tools: Argilla and Label Studio, with the people who answered."""

import json

import pytest

from tests.corpus.reading import judged, only_problem, tasks
from tests.corpus.samples import (
    ARGILLA,
    ARGILLA_1,
    ARGILLA_FLAT,
    JSON_MIN,
    PAIRWISE,
    RANKER,
    assistant,
    user,
)


def copied(row):
    return json.loads(json.dumps(row))


def argilla(values, answers, **more):
    """A record with the answers of one person."""
    return {
        "id": "r",
        "fields": values,
        "responses": {
            name: [{"value": value, "user_id": "u-1"}] for name, value in answers.items()
        },
        **more,
    }


FOUR = {"prompt": "Pick.", **{f"response-{n}": text for n, text in enumerate("abcd", 1)}}
TWO = {"prompt": "Pick.", "response_a": "x", "response_b": "y"}


def test_a_record_of_argilla_has_its_people_and_the_suggestion_of_a_model():
    (task,) = tasks(ARGILLA)
    assert task.messages == [user("Say hi.")]
    assert [each.text for each in task.responses] == ["Hi!", "No."]
    assert judged(task) == {"u-1": [1, 2], "model:judge-1": [2, 1]}  # u-2 has discarded it
    assert task.annotations[0].rationale == "It says hi."
    assert (task.external_id, task.meta) == ("r-1", {"batch": 4, "status": "completed"})


def test_a_record_that_was_flattened_into_columns_says_the_same():
    (task,) = tasks(ARGILLA_FLAT)
    assert task.messages == [user("Say bye.")]
    assert [each.text for each in task.responses] == ["Bye!", "Hi."]
    assert judged(task) == {"u-1": [1, 2], "u-2": [1, 1], "model:argilla-suggestion": [2, 1]}
    assert task.meta == {"status": "completed", "batch": 4}


def test_a_record_of_argilla_1_says_the_same():
    (task,) = tasks(ARGILLA_1)
    assert task.messages == [user("Say hi.\n\nIt is noon.")]
    assert judged(task) == {"u-1": [1, 1], "model:judge-1": [1, 2]}
    assert (task.external_id, task.meta) == ("x-1", {"metadata": '{"batch": 4}'})
    as_record = {
        "fields": {"prompt": "Say hi.", "response1": "Hi!", "response2": "No."},
        "responses": [
            {
                "user_id": "u-1",
                "status": "submitted",
                "values": {"ranking": {"value": [{"value": "response2", "rank": 1},
                                                 {"value": "response1", "rank": 2}]}},
            },
            {"user_id": "u-2", "status": "draft", "values": {"ranking": {"value": []}}},
        ],
        "suggestions": [{"question_name": "ranking", "value": ["response1", "response2"],
                         "agent": "m"}],
    }  # fmt: skip
    (task,) = tasks(as_record)
    assert judged(task) == {"u-1": [2, 1], "model:m": [1, 2]}


@pytest.mark.parametrize(
    ("values", "answers", "ranks"),
    [
        (FOUR, {"ranking": ["response-3", "response-1", "response-4", "response-2"]}, [2, 4, 1, 3]),
        (
            FOUR,
            {"q": [{"value": f"response-{n}", "rank": r} for n, r in enumerate([2, 1, 2, 4], 1)]},
            [2, 1, 2, 4],
        ),
        (FOUR, {f"rating-response-{n}": r for n, r in enumerate([3, 5, 3, 1], 1)}, [2, 1, 2, 4]),
        (TWO, {"preference": "response_b"}, [2, 1]),
        (TWO, {"preference": "Response B"}, [2, 1]),
        (TWO, {"preference": "b"}, [2, 1]),
        (TWO, {"preference": "A is slightly better"}, [1, 2]),
        (TWO, {"preference": "2"}, [2, 1]),
        (TWO, {"preference": "Tie"}, [1, 1]),
        (TWO, {"preference": "Both are equally good"}, [1, 1]),
        (TWO, {"quality": 4, "overall preference": "response_a"}, [1, 2]),
        (TWO, {"rating a": 2, "rating b": 2}, [1, 1]),
    ],
)
def test_an_order_may_be_a_ranking_a_label_or_ratings(values, answers, ranks):
    (task,) = tasks(argilla(values, answers))
    assert judged(task) == {"u-1": ranks}


def test_numbers_in_the_names_of_fields_go_before_counting():
    values = {"question": "Pick.", "answer_0": "x", "answer_1": "y"}
    (task,) = tasks(argilla(values, {"choice": "1"}))
    assert judged(task) == {"u-1": [2, 1]}


def test_further_answers_stay_with_the_judgement():
    (task,) = tasks(argilla(TWO, {"ranking": ["response_a", "response_b"], "topic": ["x", "y"]}))
    assert task.annotations[0].meta == {"topic": ["x", "y"]}


def test_answers_that_give_no_order_are_kept_without_who_gave_them():
    record = argilla(TWO, {"ranking": ["response_a", "response_b"]})
    record["responses"]["topic"] = [{"value": "maths", "user_id": "u-2"}]
    record["suggestions"] = {"topic": {"value": "physics", "agent": "m"}}
    (task,) = tasks(record)
    assert judged(task) == {"u-1": [1, 2]}
    assert task.meta == {"answers": [{"topic": "maths"}, {"topic": "physics"}]}


def test_a_record_nobody_answered_is_a_task_to_judge():
    (task,) = tasks({"id": "r", "fields": TWO, "responses": {}, "suggestions": {}})
    assert task.annotations == []


def test_fields_may_hold_conversations():
    values = {"chat": [user("a"), assistant("b"), user("c")], "response_1": "x", "response_2": "y"}
    (task,) = tasks(argilla(values, {"ranking": ["response_1", "response_2"]}))
    assert task.messages == [user("a"), assistant("b"), user("c")]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (argilla({"text": "x"}, {}), "The record has the fields text. It needs a prompt"),
        (argilla(TWO, {"topic": "maths"}), "give the responses no order"),
        (argilla(TWO, {"quality": "2"}), "give the responses no order"),  # a mark, no choice
        (argilla(FOUR, {"best": "response-2"}), "names the best of 4 responses alone"),
        (argilla(FOUR, {"ranking": ["response-1", "response-2"]}), "ranks 2 of 4 responses"),
        (ARGILLA | {"responses": {"ranking": ["x"]}}, "must be objects {value, user_id}"),
        (ARGILLA | {"responses": [3]}, "needs “values” by question"),
        (argilla({"prompt": "a", "response1": "b", "response2": 3}, {}), "must be a text, not a"),
    ],
)
def test_a_record_of_argilla_that_cannot_be_read_is_told_in_a_sentence(row, says):
    assert says in only_problem(ARGILLA, row)


def test_a_pairwise_task_of_label_studio_has_its_annotator():
    (task,) = tasks(PAIRWISE)
    assert task.messages == [user("Say hi.")]
    assert [each.text for each in task.responses] == ["Hi!", "No."]
    (judgement,) = task.annotations  # the one that was cancelled is none
    assert (judgement.annotator, judgement.ranks) == ("user 3", [1, 2])
    assert judgement.rationale == "It greets."
    assert judgement.created_at.isoformat() == "2026-03-09T22:16:08.728353+00:00"
    assert judgement.meta == {"lead_time": 4.288, "ground_truth": False}
    assert (task.external_id, task.meta) == ("17", {"project": 83, "topic": "greeting"})


def test_left_is_what_stood_left_in_the_interface():
    row = copied(PAIRWISE)
    row["annotations"][0]["result"][0]["to_name"] = "answer2,answer1"
    (task,) = tasks(row)
    assert judged(task) == {"user 3": [2, 1]}


def test_a_ranker_task_of_label_studio_has_people_and_predictions():
    (task,) = tasks(RANKER)
    assert [each.text for each in task.responses] == ["Wars.", "Fire.", "Time."]
    assert judged(task) == {"kim@example.org": [2, 3, 1], "model:judge-2": [1, 2, 3]}
    assert task.responses[0].meta == {"id": "llm_1", "title": "LLM 1"}


def test_a_prediction_that_gives_no_order_is_metadata():
    topic = {"result": [{"type": "choices", "value": {"choices": ["Maths"]}, "from_name": "t"}]}
    (task,) = tasks(PAIRWISE | {"predictions": [topic]})
    assert judged(task) == {"user 3": [1, 2]}
    assert task.meta["predictions"] == [topic]


@pytest.mark.parametrize(
    ("result", "ranks"),
    [
        ([{"type": "choices", "value": {"choices": ["answer2"]}, "from_name": "c"}], [2, 1]),
        ([{"type": "choices", "value": {"choices": ["Tie"]}, "from_name": "c"}], [1, 1]),
        ([{"type": "choices", "value": {"choices": ["Answer 1 is better"]}}], [1, 2]),
        (
            [
                {"type": "rating", "value": {"rating": 2}, "from_name": "r1", "to_name": "answer1"},
                {"type": "rating", "value": {"rating": 5}, "from_name": "r2", "to_name": "answer2"},
            ],
            [2, 1],
        ),
        ([{"type": "ranker", "value": {"ranker": ["answer2", "answer1"]}}], [2, 1]),
    ],
)
def test_label_studio_may_ask_in_other_ways(result, ranks):
    row = copied(PAIRWISE)
    row["annotations"][0]["result"] = result
    (task,) = tasks(row)
    assert judged(task) == {"user 3": ranks}


@pytest.mark.parametrize(
    ("value", "ranks"),
    [
        ("left", [1, 2]),
        ([{"selected": "right"}], [2, 1]),
        ({"ranker": {"rank": ["answer2", "answer1"]}}, [2, 1]),
    ],
)
def test_json_min_is_an_annotation_per_row(value, ranks):
    (task,) = tasks(JSON_MIN | {"comparison": value})
    assert judged(task) == {"user 3": ranks}
    assert (task.external_id, task.meta) == ("17", {})
    assert task.annotations[0].meta == {"lead_time": 4.288}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ([{"type": "choices", "value": {"choices": ["Maths"]}}], "gives the responses no order"),
        ([], "Annotation 1 gives the responses no order"),
        ("x", "“result” must be a list of objects"),
        (
            [{"type": "ranker", "value": {"ranker": {"good": ["answer1"], "bad": ["answer2"]}}}],
            "sorted the responses into buckets",
        ),
    ],
)
def test_an_annotation_that_cannot_be_read_is_told_in_a_sentence(change, says):
    row = copied(PAIRWISE)
    row["annotations"][0]["result"] = change
    assert says in only_problem(PAIRWISE, row)
