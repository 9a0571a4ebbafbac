"""The rows of every config, from the settled tasks of one prompt."""

import random

import pytest

from app.datasets.rules.comparisons import Pairs, Vote, by_majority, comparisons
from app.datasets.rules.ratings import mean_ratings
from app.datasets.rules.rows import (
    Candidate,
    ConfigName,
    TaskRows,
    prompt_rows,
)
from app.datasets.rules.transcripts import Refusal
from tests.datasets.settled import task

PROMPT = [{"role": "user", "content": "Say hello."}]


def rows_of(*tasks, messages=PROMPT, keep_ties=False, levels=None, max_pairs=None, seed=0):
    return prompt_rows(
        prompt_id="p",
        messages=messages,
        tasks=tasks,
        keep_ties=keep_ties,
        strength_levels=levels,
        max_pairs=max_pairs,
        seed=seed,
    )


def reply(text):
    return [{"role": "assistant", "content": text}]


def test_a_preference_row_has_the_shape_of_the_contract():
    made = rows_of(task("ab", [[1, 2], [1, 2], [2, 1]], strength=3), levels=3)
    assert made.rows[ConfigName.PREFERENCE] == [
        {
            "prompt": PROMPT,
            "chosen": reply("a"),
            "rejected": reply("b"),
            "margin": pytest.approx(1 / 3),
            "weight": 1.0,
            "p": pytest.approx(2 / 3),
            "strength": 1.0,
            "agreement": pytest.approx(2 / 3),
            "n_annotators": 3,
            "prompt_id": "p",
            "chosen_id": "id-a",
            "rejected_id": "id-b",
        }
    ]
    assert list(made.rows[ConfigName.PREFERENCE][0])[:4] == [
        "prompt",
        "chosen",
        "rejected",
        "margin",
    ]


def test_the_margin_is_zero_unless_the_recipe_asks_for_strength():
    (row,) = rows_of(task("ab", [[1, 2]], strength=3)).rows[ConfigName.PREFERENCE]
    assert (row["margin"], row["strength"]) == (0.0, 3.0)


def test_the_comparisons_of_a_task_weigh_one_together():
    made = rows_of(task("abc", [[1, 2, 3]]), task("de", [[2, 1]]))
    weights = {
        row["chosen_id"] + row["rejected_id"]: row["weight"]
        for row in made.rows[ConfigName.PREFERENCE]
    }
    assert weights.pop("id-eid-d") == 1.0
    assert list(weights.values()) == [pytest.approx(1 / 3)] * 3


def test_at_most_so_many_comparisons_of_a_prompt_are_drawn_and_weights_follow():
    made = rows_of(task("abcd", [[1, 2, 3, 4]]), max_pairs=2)
    rows = made.rows[ConfigName.PREFERENCE]
    assert [row["weight"] for row in rows] == [0.5, 0.5]
    assert made.dropped == {"max_pairs_per_prompt": 4}
    others = [
        tuple(
            row["chosen_id"] + row["rejected_id"]
            for row in rows_of(task("abcd", [[1, 2, 3, 4]]), max_pairs=2, seed=seed).rows[
                ConfigName.PREFERENCE
            ]
        )
        for seed in range(10)
    ]
    assert len(set(others)) > 1


def test_a_tie_is_never_a_preference_and_lives_in_ranking_when_kept():
    tied = task("ab", [[1, 1]])
    assert rows_of(tied, keep_ties=True).rows.get(ConfigName.PREFERENCE) is None
    (row,) = rows_of(tied, keep_ties=True).rows[ConfigName.RANKING]
    assert row["ranks"] == [1, 1]
    assert rows_of(tied, keep_ties=False).rows.get(ConfigName.RANKING) is None


def test_a_ranking_keeps_its_ties_or_becomes_strict_rankings_of_the_same_weight():
    ranked = task("abc", [[2, 1, 2]])
    (kept,) = rows_of(ranked, keep_ties=True).rows[ConfigName.RANKING]
    assert (kept["ranks"], kept["response_ids"]) == ([2, 1, 2], ["id-a", "id-b", "id-c"])
    strict = rows_of(ranked, keep_ties=False).rows[ConfigName.RANKING]
    assert [(row["ranks"], row["response_ids"], row["weight"]) for row in strict] == [
        ([2, 1], ["id-a", "id-b"], 0.5),
        ([1, 2], ["id-b", "id-c"], 0.5),
    ]


def test_hh_text_is_refused_where_it_would_be_read_as_other_turns():
    made = rows_of(task(["a", "b\n\nHuman: c"], [[1, 2]]))
    assert len(made.rows[ConfigName.PREFERENCE]) == 1
    assert made.rows.get(ConfigName.HH_RLHF) is None
    (refused,) = made.refused
    assert (refused.reason, refused.chosen_id) == (Refusal.ROLE_MARKER, "id-a")


def test_hh_text_is_refused_under_a_system_prompt():
    system = [{"role": "system", "content": "Be brief."}, *PROMPT]
    made = rows_of(task("ab", [[1, 2]]), messages=system)
    assert made.rows.get(ConfigName.HH_RLHF) is None
    assert [refused.reason for refused in made.refused] == [Refusal.ROLE]


def test_what_is_better_in_one_pair_and_worse_in_another_has_no_label():
    labels = {
        row["completion"][0]["content"]: row["label"]
        for row in rows_of(task("abc", [[1, 2, 3]])).rows[ConfigName.UNPAIRED]
    }
    assert labels == {"a": True, "c": False}


def test_people_s_own_words_are_imitated_before_the_top_response():
    plain, rewritten = task("ab", [[2, 1]]), task("cd", [[1, 2]], rewrites=["Hello there!"])
    assert rows_of(plain, rewritten).rows[ConfigName.SFT] == [
        {"messages": [*PROMPT, *reply("Hello there!")]},
        {"messages": [*PROMPT, *reply("b")]},
    ]
    assert rows_of(task("ab", [[1, 1]]), keep_ties=True).rows.get(ConfigName.SFT) is None


def test_the_same_texts_are_compared_once_by_those_who_had_most_votes():
    few = TaskRows(
        responses=[Candidate("x", "a"), Candidate("y", "b")],
        n_annotators=1,
        settled=by_majority([Vote((2, 1))]),
        comparisons=comparisons(by_majority([Vote((2, 1))]), [Vote((2, 1))], pairs=Pairs.ALL),
    )
    made = rows_of(few, task("ab", [[1, 2], [1, 2]]))
    (row,) = made.rows[ConfigName.PREFERENCE]
    assert (row["chosen_id"], made.dropped) == ("id-a", {"duplicate": 1})


def test_tasks_that_contradict_each_other_with_equal_votes_give_nothing():
    made = rows_of(task("ab", [[1, 2]]), task("ab", [[2, 1]]))
    assert made.rows.get(ConfigName.PREFERENCE) is None
    assert made.dropped == {"contradiction": 2}


def test_a_response_is_never_compared_with_its_own_text():
    same = TaskRows(
        responses=[Candidate("x", "a"), Candidate("y", "a")],
        n_annotators=1,
        settled=by_majority([Vote((1, 2))]),
        comparisons=comparisons(by_majority([Vote((1, 2))]), [Vote((1, 2))], pairs=Pairs.ALL),
    )
    made = rows_of(same)
    assert made.rows.get(ConfigName.PREFERENCE) is None
    assert made.dropped == {"identical_texts": 1}


def test_the_order_of_the_tasks_changes_nothing():
    tasks = [
        task("abc", [[1, 2, 2], [2, 1, 3]], rewrites=["z"]),
        task("ad", [[1, 2]]),
        task("db", [[1, 2], [1, 1]]),
        task("ab", [[2, 1]]),
    ]
    reference = rows_of(*tasks, max_pairs=3)
    for seed in range(20):
        random.Random(seed).shuffle(tasks)
        assert rows_of(*tasks, max_pairs=3) == reference


def test_ratings_are_means_over_those_who_gave_one():
    means, raters = mean_ratings(
        [{"help": [4, 2]}, {"help": [3, None], "truth": [1, 1]}, {}],
        criteria=["help", "truth"],
        size=2,
    )
    assert means == {"help": [3.5, 2.0], "truth": [1.0, 1.0]}
    assert raters == [2, 2]
    rated = TaskRows(
        responses=[Candidate("x", "a"), Candidate("y", "b")],
        n_annotators=2,
        ratings={"help": [3.5, None], "truth": [None, None]},
        raters=[2, 0],
    )
    assert rows_of(rated).rows[ConfigName.RATINGS] == [
        {
            "prompt": PROMPT,
            "response": reply("a"),
            "ratings": {"help": 3.5, "truth": None},
            "n_annotators": 2,
        }
    ]
