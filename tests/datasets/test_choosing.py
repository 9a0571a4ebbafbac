"""What a recipe takes of prompts and responses, and how it says what it left."""

import pytest

from app.datasets.rules.choosing import Choice, only
from app.datasets.rules.judged import Admission, JudgedTask, admit
from app.datasets.rules.warnings import warnings
from app.datasets.schemas import Recipe
from tests.datasets.judged import assembled, judged_prompt, judged_task

FOUR = ("best", "second", "third", "fourth")


def preferences(made):
    return [row for each in made for row in each.made.rows.get("preference", ())]


def chosen(made):
    return sorted(row["prompt"][0]["content"] for row in preferences(made))


@pytest.mark.parametrize(
    ("choice", "left", "reason"),
    [
        (Choice(sources=frozenset({"shp"})), ["a", "c"], "other_source"),
        (Choice(tags=frozenset({"maths", "art"})), ["b", "c"], "other_tag"),
        (Choice(languages=frozenset({"pt"})), ["a", "b"], "other_language"),
    ],
)
def test_prompts_are_taken_by_source_tag_and_language(choice, left, reason):
    prompts = [
        judged_prompt("a", source="shp", tags=["cooking"], language="pt-BR"),
        judged_prompt("b", source="oasst", tags=["maths"], language="PT"),
        judged_prompt("c", source="shp", tags=["maths", "cooking"], language="en"),
    ]
    made, assembly = assembled(prompts, choice=choice)
    assert chosen(made) == left
    counts = assembly.counts.as_json()
    assert counts["prompts_excluded"] == {reason: 1}
    assert counts["tasks"]["excluded"] == {"other_prompt": 1}
    assert counts["judgements"]["excluded"] == {"task_left_out": 1}
    assert counts["judgements"]["read"] == 3


def test_a_flagged_response_is_left_out_and_the_order_of_the_others_stays():
    task = judged_task([1, 2, 3, 4], [2, 1, 3, 4], [1, 2, 4, 3], texts=FOUR)
    choice = Choice(flagged=frozenset({"id of second"}))
    made, assembly = assembled([judged_prompt("a", task)], choice=choice)
    (ranking,) = made[0].made.rows["ranking"]
    assert [response[0]["content"] for response in ranking["responses"]] == [
        "best", "third", "fourth",
    ]  # fmt: skip
    assert ranking["ranks"] == [1, 2, 3]
    assert not any("second" in str(row) for row in preferences(made))
    assert assembly.counts.as_json()["responses_excluded"] == {"flagged": 1}


def test_a_pair_with_a_flagged_response_gives_nothing():
    choice = Choice(flagged=frozenset({"id of bad"}))
    made, assembly = assembled([judged_prompt("a")], choice=choice)
    assert set(made[0].made.rows) == {"prompts"}
    counts = assembly.counts.as_json()
    assert counts["tasks"]["excluded"] == {"too_few_responses": 1}
    assert counts["judgements"]["excluded"] == {"task_left_out": 1}


def test_short_responses_are_left_out_by_their_characters_without_blanks_around():
    task = judged_task([1, 2, 3], texts=("four", "  abc  ", "longer"))
    _, assembly = assembled([judged_prompt("a", task)], choice=Choice(min_characters=4))
    assert assembly.counts.as_json()["responses_excluded"] == {"short": 1}


def test_what_is_left_of_a_task_keeps_its_decision():
    task = judged_task([1, 2, 2, 4], texts=FOUR, adjudicated=(4, 3, 2, 1))
    left = only(task, [1, 2, 3])
    assert left.judgements[0].vote.ranks == (1, 1, 3)
    assert left.adjudicated == (3, 2, 1)


def test_only_what_a_reviewer_settled():
    settled = judged_task([1, 2], adjudicated=(1, 2))
    made, assembly = assembled(
        [judged_prompt("a", settled), judged_prompt("b")], adjudicated_only=True
    )
    assert chosen(made) == ["a"]
    assert assembly.counts.as_json()["tasks"]["excluded"] == {"not_adjudicated": 1}


def test_people_alone():
    task = judged_task([1, 2])
    label = task.judgements[0]._replace(user_id=None, source="dataset:x", counted=False)
    told = JudgedTask(task.id, task.responses, [label])
    assert admit(told, Admission()).judgements
    assert admit(told, Admission(people_only=True)).reasons == ["source"]


def test_weights_sum_to_one_per_task_or_per_prompt():
    tasks = [
        judged_task([1, 2, 3], texts=("a", "b", "c")),
        judged_task([1, 2], texts=("d", "e")),
        judged_task([1, 1, 3], texts=("f", "g", "h")),
    ]
    per_task, _ = assembled([judged_prompt("p", *tasks)])
    assert sum(row["weight"] for row in preferences(per_task)) == pytest.approx(3)
    per_prompt, _ = assembled([judged_prompt("p", *tasks)], weight_by="prompt")
    rows = per_prompt[0].made.rows
    assert {row["weight"] for row in rows["preference"]} == {1 / 6}
    assert sum(row["weight"] for row in rows["ranking"]) == pytest.approx(1)


def test_near_copies_are_one_text_if_the_recipe_says_so():
    tasks = [
        judged_task([1, 2], texts=("Yes.", "No.")),
        judged_task([1, 2], texts=("yes. ", "NO.")),
        judged_task([1, 2], texts=("Same", "same ")),
    ]
    exact, _ = assembled([judged_prompt("p", *tasks)])
    assert len(preferences(exact)) == 3
    near, assembly = assembled([judged_prompt("p", *tasks)], dedup="normalised")
    assert len(preferences(near)) == 1
    excluded = assembly.counts.as_json()["comparisons"]["excluded"]
    assert excluded == {"duplicate": 1, "identical_texts": 1}
    assert len(near[0].made.rows["unpaired"]) == 2
    assert len(near[0].made.rows["sft"]) == 2  # "Yes." once, and the best of the copies


def test_counts_say_how_comparisons_are_spread():
    prompts = [judged_prompt(f"{number}") for number in range(3)]
    prompts.append(judged_prompt("many", judged_task([1, 2, 3, 4], texts=FOUR)))
    _, assembly = assembled(prompts)
    assert assembly.counts.as_json()["comparisons"]["per_prompt"] == [
        {"from": 1, "to": 1, "prompts": 3, "comparisons": 3},
        {"from": 6, "to": 10, "prompts": 1, "comparisons": 6},
    ]
    assert len(assembly.examples) == 3


def told(prompts, *, open_tasks=0, **recipe):
    _, assembly = assembled(prompts, **recipe)
    return " ".join(
        warnings(
            assembly.counts.as_json(),
            assembly.tally.figures(),
            recipe=Recipe.model_validate(recipe).as_json(),
            open_tasks=open_tasks,
        )
    )


def test_people_are_warned_before_they_freeze_something_useless():
    agreed = [judged_prompt(f"{n}", judged_task([1, 2], [1, 2])) for n in range(30)]
    agreed += [judged_prompt("turned", judged_task([2, 1], [2, 1]))]
    assert told(agreed) == ""
    assert "12 tasks are still open" in told(agreed, open_tasks=12)
    assert "Raise the share for testing" in told(agreed, test_share=0)
    assert "There is no comparison" in told([judged_prompt("a", judged_task([1, 1]))])
    assert "no task was judged by two" in told([judged_prompt("a"), judged_prompt("b")])
    assert "have a margin of 0" in told(agreed, margin="strength")
    split = [judged_prompt(f"{n}", judged_task([1, 2], [2, 1], [1, 2])) for n in range(30)]
    assert "alpha is -0.48" in told(split)
    lonely = [judged_prompt(f"{n}") for n in range(30)] + agreed[-2:]
    assert "One person gave 94 % of the judgements" in told(lonely)
    many = [judged_task([1, 2], [1, 2], texts=(f"{n}", f"{n}!")) for n in range(60)]
    assert "1 of 32 prompts gives 66 % of the comparisons" in told(
        [*agreed, judged_prompt("again and again", *many)]
    )
