"""Trees of Open Assistant: whole, message by message, and as rankings."""

import json

import pytest

from app.corpus.formats import Limits
from tests.corpus.reading import as_lines, judged, only_problem, reads, tasks
from tests.corpus.samples import (
    OASST_RANKING,
    OASST_TREE,
    assistant,
    flat,
    message,
    user,
)
from tests.shared_data import shared_data, shared_rows

MESSAGES = flat(OASST_TREE)


def summary(task):
    return (
        [turn["content"] for turn in task.messages],
        [response.text for response in task.responses],
        judged(task),
    )


def renamed(rows, *, to):
    """The same tree again under other ids."""
    return json.loads(json.dumps(rows).replace('"m1"', f'"{to}"'))


def test_every_turn_with_two_or_more_ranked_replies_is_a_task():
    first, second = tasks(OASST_TREE)
    assert summary(first) == (
        ["What floats?"],
        ["Stones.", "Wood does."],
        {"dataset:oasst": [2, 1]},
    )
    assert second.messages == [user("What floats?"), assistant("Wood does."), user("And cork?")]
    assert summary(second)[1:] == (["Very well.", "No.", "Yes."], {"dataset:oasst": [1, 3, 2]})
    assert (first.external_id, second.external_id) == ("m1", "m2")
    assert (first.language, first.order_tells) == ("en", True)
    assert first.meta["message_tree_id"] == "m1"
    assert first.responses[0].meta == {"message_id": "a1", "labels": {"quality": {"value": 0.2}}}
    assert first.responses[1].source == "model:chip20b"
    assert first.responses[0].source is None  # written by a person


def test_messages_one_by_one_say_the_same_as_their_tree():
    rows = reads(as_lines(*MESSAGES, *renamed(MESSAGES, to="n1")))
    assert [row.problem for row in rows] == [None] * 4
    whole = [summary(task) for task in tasks(OASST_TREE)]
    assert [summary(row.task) for row in rows] == whole * 2
    size = len(MESSAGES)
    at = {each["message_id"]: line for line, each in enumerate(MESSAGES, 1)}
    assert [row.line for row in rows] == [at["m1"], at["m2"], size + at["m1"], size + at["m2"]]


@pytest.mark.parametrize("order", [list(reversed(MESSAGES)), sorted(MESSAGES, key=str)])
def test_messages_of_a_tree_may_stand_in_any_order(order):
    read = tasks(*order)
    assert {tuple(each.external_id) for each in read} == {("m", "1"), ("m", "2")}
    assert [sorted(judged(each)["dataset:oasst"]) for each in read] == [[1, 2], [1, 2, 3]]


def test_a_message_whose_parent_is_missing_is_refused_with_all_that_hangs_on_it():
    rows = [row for row in MESSAGES if row["message_id"] != "a0"]
    read = reads(as_lines(*rows))
    problems = {rows[each.line - 1]["message_id"]: each.problem for each in read if each.problem}
    assert "replies to the message a0, which is not among those of its tree" in problems["m2"]
    assert "sort the file by “message_tree_id”" in problems["m2"]
    assert "which hangs in the air itself" in problems["b0"]
    assert set(problems) == {"m1", "m2", "b0", "b1", "b2", "b3"}
    assert problems["m1"].startswith("No message of this tree has two or more ranked replies")


def test_a_tree_that_is_spread_over_the_file_is_refused_where_it_goes_on():
    other = renamed(MESSAGES, to="n1")
    read = reads(as_lines(*MESSAGES[:3], *other, *MESSAGES[3:]))
    refused = [row.line for row in read if row.problem]
    assert refused == list(range(4 + len(other), len(other) + len(MESSAGES) + 1))
    assert sum(row.task is not None for row in read) == 3


def test_circles_and_doubles_among_messages_are_refused():
    root, *rest = MESSAGES
    circle = [
        message("x", "?", "prompter", parent_id="y", message_tree_id="m1"),
        message("y", "!", parent_id="x", message_tree_id="m1"),
        message("z", "!", parent_id="z", message_tree_id="m1"),
    ]
    read = reads(as_lines(root, *rest, *circle, root))
    problems = [row.problem for row in read if row.problem]
    assert len(problems) == 4
    assert sum("stands twice in its tree" in each for each in problems) == 1
    assert sum(row.task is not None for row in read) == 2


def test_only_ranked_replies_that_were_kept_are_compared():
    tree = json.loads(json.dumps(OASST_TREE))
    tree["prompt"]["replies"][0]["deleted"] = True
    (task,) = tasks(tree)
    assert task.external_id == "m2"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompt": {"message_id": "m", "text": "x", "role": "prompter"}}, "nothing to compare"),
        ({"prompt": {"message_id": "m", "text": 3, "role": "prompter"}}, "“text” must be a text"),
        ({"prompt": {"message_id": "m", "text": "x", "role": "bot"}}, "has the role 'bot'"),
        (
            {"prompt": {"message_id": "m", "text": "x", "role": "prompter", "replies": "no"}},
            "“replies” must be a list",
        ),
    ],
)
def test_a_tree_that_gives_no_task_is_refused_with_a_sentence(change, says):
    assert says in only_problem(OASST_TREE, OASST_TREE | change)


def test_a_turn_with_too_many_replies_is_refused_and_the_rest_of_its_tree_stays():
    tree = json.loads(json.dumps(OASST_TREE))
    tree["prompt"]["replies"] += [message(f"c{n}", f"{n}", rank=n + 2) for n in range(9)]
    refused, good = reads(as_lines(tree))
    assert "A task needs 2 to 10 responses, and this line has 11" in refused.problem
    assert (good.task.external_id, good.line) == ("m2", 1)


def test_a_tree_of_messages_that_never_ends_is_refused_in_bounded_memory():
    row = message("x", "y" * 1000, parent_id="p", message_tree_id="t")
    rows = [row | {"message_id": str(n)} for n in range(30)]
    read = reads(as_lines(*rows), limits=Limits(10**9, 10_000, 10**6))
    assert len(read) == 30
    assert "That is too much to be one conversation" in read[0].problem


def test_a_long_chain_of_messages_is_refused_and_does_not_take_forever():
    rows = [
        message(
            str(n),
            "x",
            "assistant" if n % 2 else "prompter",
            parent_id=str(n - 1) if n else None,
            message_tree_id="t",
        )
        for n in range(400)
    ]
    assert "more than 256 turns" in reads(as_lines(*rows))[-1].problem


def test_a_message_without_its_tree_and_a_line_of_no_shape_are_refused():
    lone = {key: value for key, value in MESSAGES[0].items() if key != "message_tree_id"}
    first, *_ = reads(as_lines(lone, *MESSAGES))
    assert "“message_tree_id” is missing" in first.problem
    assert "neither a tree" in only_problem(OASST_TREE, {"x": 1})


def test_real_trees_and_real_rankings_are_the_same_tasks():
    """149 ranked groups in 71 trees, as the data set's notes count them."""
    groups = {}
    for name in ("trees", "rankings"):
        content = shared_data(f"oasst-trees/{name}.jsonl.gz").read_bytes()
        rows = reads(content)
        assert [row.problem for row in rows] == [None] * 149
        groups[name] = {
            frozenset(
                (response.text, rank)
                for response, rank in zip(
                    task.responses, judged(task)["dataset:oasst"], strict=True
                )
            )
            for task in (row.task for row in rows)
        }
    assert groups["trees"] == groups["rankings"]


def test_real_trees_taken_apart_into_messages_are_the_same_tasks():
    trees = list(shared_rows("oasst-trees/trees.jsonl.gz"))
    rows = [row for tree in trees for row in flat({**tree, "message_tree_id": tree["tree_id"]})]
    assert [summary(task) for task in tasks(*rows)] == [summary(task) for task in tasks(*trees)]


def test_a_ranking_needs_two_ranks():
    unranked = [{"message_id": "a", "text": "x"}, {"message_id": "b", "text": "y", "rank": 0}]
    assert "Fewer than two of the “replies”" in only_problem(
        OASST_RANKING, OASST_RANKING | {"replies": unranked}
    )
