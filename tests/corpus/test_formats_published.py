"""What rows of published data sets mean: UltraFeedback, SHP, WebGPT, PKU-SafeRLHF, the arena."""

import pytest

from tests.corpus.reading import judged, only_problem, tasks
from tests.corpus.samples import (
    ARENA,
    ARENA_55K,
    ARGILLA_BINARIZED,
    H4_BINARIZED,
    OWN_RANKING,
    PKU,
    PKU_10K,
    SHP,
    ULTRAFEEDBACK,
    WEBGPT,
    assistant,
    user,
)


def texts(task):
    return [response.text for response in task.responses]


def test_ultrafeedback_ranks_its_completions_by_the_overall_score_and_keeps_ties():
    (task,) = tasks(ULTRAFEEDBACK)
    assert task.messages == [user("Name a fruit that is red.")]
    assert judged(task) == {"dataset:ultrafeedback": [2, 1, 2]}
    assert [each.source for each in task.responses] == [
        "model:alpaca-7b",
        "model:gpt-4",
        "model:pythia-12b",
    ]
    first = task.responses[0].meta
    assert first["annotations"]["helpfulness"]["Rating"] == "4"
    assert first["custom_system_prompt"] == "You are helpful."  # of that model alone
    assert (first["overall_score"], first["fine-grained_score"]) == (7.5, 4.25)
    assert (task.source, task.system) == ("evol_instruct", None)
    assert task.meta == {"correct_answers": ["None"], "incorrect_answers": ["None"]}


def test_ultrafeedback_takes_the_score_that_all_completions_have_or_none():
    fine = [{"response": text, "fine-grained_score": n} for n, text in enumerate("abc")]
    fine[0]["overall_score"] = 9
    without = [{"response": text} for text in "ab"]
    by_fine, unjudged = tasks(
        {"instruction": "x", "completions": fine}, {"instruction": "x", "completions": without}
    )
    assert judged(by_fine) == {"dataset:ultrafeedback": [3, 2, 1]}
    assert unjudged.annotations == []


def test_ultrafeedback_says_what_is_wrong():
    def said(**fields):
        return only_problem(ULTRAFEEDBACK, ULTRAFEEDBACK | fields)

    assert "this line has 1" in said(completions=ULTRAFEEDBACK["completions"][:1])
    assert "Completion 2 needs a “response”" in said(completions=[{"response": "a"}, {}])
    assert "“instruction” must be a text" in said(instruction=3)
    high = [{"response": "a", "overall_score": "high"}, {"response": "b", "overall_score": 2}]
    assert "“overall_score” must be a number, not 'high'" in said(completions=high)


def test_binarized_ultrafeedback_is_trl_with_scores_and_models():
    by_h4, by_argilla = tasks(H4_BINARIZED, ARGILLA_BINARIZED)
    for task in (by_h4, by_argilla):
        assert task.messages == [user("Name a fruit.")]
        assert texts(task) == ["A pear.", "A stone."]
        assert judged(task) == {"dataset:trl": [1, 2]}
    assert by_h4.meta == {"prompt_id": "0f3a"}  # “messages” said the same as “chosen”
    assert [each.meta for each in by_h4.responses] == [{"score": 8.5}, {"score": 3.0}]
    assert [(each.source, each.meta) for each in by_argilla.responses] == [
        ("model:gpt-4", {"score": 5.0}),
        ("model:pythia-12b", {"score": 2.0}),
    ]


def test_pairs_may_call_their_prompt_a_question_or_an_instruction():
    for name in ("question", "instruction"):
        (task,) = tasks({"system": "Be kind.", name: "Hi", "chosen": "Hello!", "rejected": "No."})
        assert (task.messages, task.system, task.meta) == ([user("Hi")], "Be kind.", {})


def test_shp_prefers_the_comment_that_its_label_names():
    second, first = tasks(SHP, SHP | {"labels": 1})
    assert second.messages == [user("Why did my bread not rise?")]
    assert (judged(second), judged(first)) == ({"dataset:shp": [2, 1]}, {"dataset:shp": [1, 2]})
    assert second.responses[0].meta == {"c_root_id": "h1", "created_at_utc": 1600000000, "score": 3}
    assert (second.external_id, second.tags) == ("abc123", ["askbaking_train"])
    assert second.meta == {"upvote_ratio": 0.98, "seconds_difference": 500.0, "score_ratio": 4.0}
    assert "“labels” must be 1 where “human_ref_A” was preferred" in only_problem(
        SHP, SHP | {"labels": 2}
    )


@pytest.mark.parametrize(
    ("scores", "ranks"), [((-0.25, 0.25), [2, 1]), ((0.5, -0.5), [1, 2]), ((0, 0.0), [1, 1])]
)
def test_webgpt_prefers_the_higher_score_and_equal_scores_are_a_tie(scores, ranks):
    (task,) = tasks(WEBGPT | dict(zip(("score_0", "score_1"), scores, strict=True)))
    assert judged(task) == {"dataset:webgpt": ranks}


def test_webgpt_keeps_quotes_and_tokens_with_their_answers():
    (task,) = tasks(WEBGPT)
    assert task.messages == [user("Why is ice slippery?")]
    assert (task.external_id, task.source, task.meta) == ("q77", "eli5", {})
    assert task.responses[0].meta == {
        "quotes": WEBGPT["quotes_0"],
        "tokens": WEBGPT["tokens_0"],
        "score": -0.25,
    }
    assert "Only one of “score_0” and “score_1”" in only_problem(WEBGPT, WEBGPT | {"score_1": None})
    assert "“question” needs a text" in only_problem(WEBGPT, WEBGPT | {"question": {"id": "x"}})


def test_webgpt_is_published_as_two_records_in_a_line_too():
    record = {key: WEBGPT[f"{key}_0"] for key in ("quotes", "answer", "tokens", "score")}
    other = {key: WEBGPT[f"{key}_1"] for key in ("quotes", "answer", "tokens", "score")}
    line = [{"question": WEBGPT["question"], **each} for each in (record, other)]
    assert tasks(line, line) == tasks(WEBGPT, WEBGPT)
    stranger = [line[0], line[1] | {"question": {"full_text": "Else?"}}]
    assert "and this one is a list" in only_problem(line, stranger)


def test_pku_prefers_the_better_answer_and_keeps_which_one_is_safer():
    """One judgement: a second one by the same data would make each undecided."""
    new, old = tasks(PKU, PKU_10K)
    assert judged(new) == judged(old) == {"dataset:pku-saferlhf": [2, 1]}
    safe, unsafe = new.responses
    assert (safe.source, safe.meta["safe"], safe.meta["safer"]) == ("model:Alpaca-7B", True, True)
    assert (unsafe.meta["safe"], unsafe.meta["safer"]) == (False, False)
    assert (unsafe.meta["severity_level"], unsafe.meta["sha256"]) == (2, "bb")
    assert unsafe.meta["harm_category"] == {"Property damage": True}
    assert (new.source, new.meta) == ("AlpacaEval", {})
    assert [each.meta for each in old.responses] == [
        {"safe": False, "safer": False},
        {"safe": True, "safer": True},
    ]
    assert "“better_response_id” must be 0 or 1" in only_problem(
        PKU, PKU | {"better_response_id": 2}
    )


def test_the_arena_names_the_judge_and_the_models():
    (task,) = tasks(ARENA)
    assert task.messages == [user("Hi")]
    assert texts(task)[0] == "Hello.\n\nHuman: And now?\n\nAssistant: Bye."
    assert task.responses[1].meta["messages"][-1] == assistant("More.")
    assert [each.source for each in task.responses] == ["model:koala-13b", "model:vicuna-7b"]
    assert judged(task) == {"arena_user_17": [2, 1]}
    assert task.meta == {"turn": 2, "tstamp": 1682351448.98}


def test_turns_of_the_arenas_competition_are_lists_inside_texts():
    (task,) = tasks(ARENA_55K)
    assert task.messages == [user("Name a river.")]
    assert texts(task)[0] == "The Rhine.\n\nHuman: Another one?\n\nAssistant: The Elbe."
    assert (judged(task), task.external_id) == ({"dataset:arena": [1, 2]}, "30192")
    (tie,) = tasks(ARENA_55K | {"winner_model_a": 0, "winner_tie": 1})
    assert judged(tie) == {"dataset:arena": [1, 1]}


def test_the_arena_says_what_is_wrong():
    def said(**fields):
        return only_problem(ARENA_55K, ARENA_55K | fields)

    assert "Exactly one of winner_model_a" in said(winner_tie=1)
    assert "“response_a” has a turn that is no text" in said(response_a='["a", null]')
    assert "2 turns and “response_a” has 1" in said(response_a='["a"]')
    assert "the first side and the second side are the same" in said(
        response_b=ARENA_55K["response_a"]
    )
    assert "contains a NUL character" in said(response_a='["a", "\\u0000"]')
    assert "use model_a, model_b or tie" in only_problem(ARENA, ARENA | {"winner": "both"})


def test_a_judging_model_of_mt_bench_is_a_source_and_no_person():
    (task,) = tasks(ARENA | {"judge": ["gpt-4", "pair-v2"], "winner": "tie"})
    assert judged(task) == {"model:gpt-4": [1, 1]}


def test_a_ranking_of_a_snapshot_comes_back_with_its_ties():
    (task,) = tasks(OWN_RANKING)
    assert texts(task) == ["1 2", "2 1", "1, 2"]
    assert judged(task) == {"dataset:touchstone": [1, 3, 1]}
    kept = ("weight", "agreement", "n_annotators", "prompt_id", "response_ids")
    assert task.meta == {key: OWN_RANKING[key] for key in kept}
    assert "The line needs “ranks” with one number per response (3)" in only_problem(
        OWN_RANKING, OWN_RANKING | {"ranks": [1, 2]}
    )


def test_responses_may_be_named_by_their_models():
    (task,) = tasks({"prompt": "Hi", "responses": {"m-1": "Hello", "m-2": "Hello"}})
    assert [(each.text, each.source) for each in task.responses] == [
        ("Hello", "model:m-1"),
        ("Hello", "model:m-2"),
    ]
