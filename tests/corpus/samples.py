"""Rows as other projects and tools publish them: their shapes, our own words."""

from typing import Any

from tests.corpus.files import pair


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def rated(rating: str) -> dict[str, Any]:
    """One aspect of UltraFeedback."""
    return {"Rating": rating, "Rationale": "As it should be."}


ULTRAFEEDBACK: dict[str, Any] = {
    "source": "evol_instruct",
    "instruction": "Name a fruit that is red.",
    "models": ["alpaca-7b", "gpt-4", "pythia-12b"],
    "completions": [
        {
            "annotations": {"helpfulness": {**rated("4"), "Type": ["1"]}, "honesty": rated("N/A")},
            "custom_system_prompt": "You are helpful.",
            "model": "alpaca-7b",
            "principle": "helpfulness",
            "response": "A cherry.",
            "critique": "Short.",
            "overall_score": 7.5,
            "fine-grained_score": 4.25,
        },
        {"model": "gpt-4", "response": "Strawberries are.", "overall_score": 8.0},
        {"model": "pythia-12b", "response": "Fruit fruit", "overall_score": 7.5},
    ],
    "correct_answers": ["None"],
    "incorrect_answers": ["None"],
}
SHP: dict[str, Any] = {
    "post_id": "abc123",
    "domain": "askbaking_train",
    "upvote_ratio": 0.98,
    "history": "Why did my bread not rise?",
    "c_root_id_A": "h1",
    "c_root_id_B": "h2",
    "created_at_utc_A": 1600000000,
    "created_at_utc_B": 1600000500,
    "score_A": 3,
    "score_B": 12,
    "human_ref_A": "Bad luck.",
    "human_ref_B": "Your yeast was old; let it foam in warm water first.",
    "labels": 0,
    "seconds_difference": 500.0,
    "score_ratio": 4.0,
}
WEBGPT: dict[str, Any] = {
    "question": {"dataset": "eli5", "full_text": "Why is ice slippery?", "id": "q77"},
    "quotes_0": {"title": ["Ice (ice.example)"], "extract": ["A thin film of water."]},
    "answer_0": "A film of water covers it [1].",
    "tokens_0": {"prefix": [1, 2], "completion": [3]},
    "score_0": -0.25,
    "quotes_1": {"title": [], "extract": []},
    "answer_1": "Pressure melts it.",
    "tokens_1": {"prefix": [1], "completion": [4]},
    "score_1": 0.25,
}
PKU: dict[str, Any] = {
    "prompt": "How do I open a jammed lock?",
    "response_0": "Graphite helps.",
    "response_1": "Break the window.",
    "prompt_source": "AlpacaEval",
    "response_0_source": "Alpaca-7B",
    "response_1_source": "Alpaca3-8B",
    "is_response_0_safe": True,
    "is_response_1_safe": False,
    "response_0_harm_category": {"Property damage": False},
    "response_1_harm_category": {"Property damage": True},
    "response_0_severity_level": 0,
    "response_1_severity_level": 2,
    "better_response_id": 1,
    "safer_response_id": 0,
    "response_0_sha256": "aa",
    "response_1_sha256": "bb",
}
PKU_10K: dict[str, Any] = {
    "prompt": "May I mix bleach and vinegar?",
    "response_0": "Yes!",
    "response_1": "No, that makes chlorine gas.",
    "is_response_0_safe": False,
    "is_response_1_safe": True,
    "better_response_id": 1,
    "safer_response_id": 1,
}
ARENA: dict[str, Any] = {
    "question_id": "q1",
    "model_a": "koala-13b",
    "model_b": "vicuna-7b",
    "winner": "model_b",
    "judge": "arena_user_17",
    "conversation_a": [user("Hi"), assistant("Hello."), user("And now?"), assistant("Bye.")],
    "conversation_b": [user("Hi"), assistant("Hey!"), user("And now?"), assistant("More.")],
    "turn": 2,
    "language": "English",
    "tstamp": 1682351448.98,
}
ARENA_55K: dict[str, Any] = {
    "id": 30192,
    "model_a": "gpt-4-1106-preview",
    "model_b": "gpt-4-0613",
    "prompt": '["Name a river.", "Another one?"]',
    "response_a": '["The Rhine.", "The Elbe."]',
    "response_b": '["Water.", "Wine."]',
    "winner_model_a": 1,
    "winner_model_b": 0,
    "winner_tie": 0,
}


def message(message_id: str, text: str, role: str = "assistant", **more: Any) -> dict[str, Any]:
    """A message of Open Assistant."""
    return {"message_id": message_id, "text": text, "role": role, "lang": "en", **more}


OASST_TREE: dict[str, Any] = {
    "message_tree_id": "m1",
    "tree_state": "ready_for_export",
    "prompt": message(
        "m1",
        "What floats?",
        "prompter",
        review_count=3,
        deleted=False,
        emojis={"+1": 2},
        replies=[
            message("a1", "Stones.", rank=1, labels={"quality": {"value": 0.2}}, replies=[]),
            message(
                "a0",
                "Wood does.",
                rank=0,
                synthetic=True,
                model_name="chip20b",
                replies=[
                    message(
                        "m2",
                        "And cork?",
                        "prompter",
                        replies=[
                            message("b0", "Very well.", rank=0, replies=[]),
                            message("b1", "No.", rank=2, replies=[]),
                            message("b2", "Yes.", rank=1, replies=[]),
                            message("b3", "Nobody ranked me.", replies=[]),
                        ],
                    )
                ],
            ),
        ],
    ),
}
OASST_RANKING: dict[str, Any] = {
    "tree_id": "m1",
    "parent_id": "m1",
    "conversation": [{"role": "prompter", "text": "What floats?"}],
    "replies": [
        {"message_id": "a0", "rank": 0, "synthetic": False, "text": "Wood does."},
        {"message_id": "a1", "rank": 1, "synthetic": False, "text": "Stones."},
    ],
}


def flat(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a tree, a row each, as in `….messages.jsonl`."""
    rows, waiting = [], [(tree["prompt"], None)]
    while waiting:
        node, parent_id = waiting.pop()
        row = {key: value for key, value in node.items() if key != "replies"}
        rows.append(row | {"parent_id": parent_id, "message_tree_id": tree["message_tree_id"]})
        waiting += [(reply, node["message_id"]) for reply in reversed(node.get("replies", []))]
    return rows


ARGILLA: dict[str, Any] = {
    "id": "r-1",
    "fields": {"prompt": "Say hi.", "response1": "Hi!", "response2": "No."},
    "metadata": {"batch": 4},
    "suggestions": {"ranking": {"value": ["response2", "response1"], "agent": "judge-1"}},
    "responses": {
        "ranking": [
            {"value": ["response1", "response2"], "user_id": "u-1"},
            {"value": ["response2", "response1"], "user_id": "u-2", "status": "discarded"},
        ],
        "rationale": [{"value": "It says hi.", "user_id": "u-1"}],
    },
    "vectors": {},
    "status": "completed",
    "_server_id": "s-1",
}
ARGILLA_FLAT: dict[str, Any] = {
    "id": "r-2",
    "status": "completed",
    "_server_id": "s-2",
    "instruction": "Say bye.",
    "generation-1": "Bye!",
    "generation-2": "Hi.",
    "batch": 4,
    "preference.responses": ["generation-1", "tie", "generation-2"],
    "preference.responses.users": ["u-1", "u-2", "u-3"],
    "preference.responses.status": ["submitted", None, "draft"],
    "preference.suggestion": "generation-2",
    "preference.suggestion.score": 0.5,
    "preference.suggestion.agent": None,
}
ARGILLA_1: dict[str, Any] = {
    "prompt": "Say hi.",
    "context": "It is noon.",
    "response1": "Hi!",
    "response2": "No.",
    "ranking": [
        {
            "user_id": "u-1",
            "value": [{"rank": 1, "value": "response2"}, {"rank": 1, "value": "response1"}],
            "status": "submitted",
        }
    ],
    "ranking-suggestion": [{"rank": 1, "value": "response1"}, {"rank": 2, "value": "response2"}],
    "ranking-suggestion-metadata": {"type": "model", "agent": "judge-1", "score": None},
    "external_id": "x-1",
    "metadata": '{"batch": 4}',
}
PAIRWISE: dict[str, Any] = {
    "id": 17,
    "data": {"prompt": "Say hi.", "answer1": "Hi!", "answer2": "No.", "topic": "greeting"},
    "annotations": [
        {
            "id": 1,
            "completed_by": 3,
            "result": [
                {
                    "id": "x",
                    "type": "pairwise",
                    "value": {"selected": "left"},
                    "from_name": "comparison",
                    "to_name": "answer1,answer2",
                },
                {
                    "type": "textarea",
                    "value": {"text": ["It greets."]},
                    "from_name": "reason",
                    "to_name": "answer1",
                },
            ],
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": "2026-03-09T22:16:08.728353Z",
            "lead_time": 4.288,
        },
        {"id": 2, "completed_by": 4, "result": [], "was_cancelled": True},
    ],
    "predictions": [],
    "project": 83,
}
RANKER: dict[str, Any] = {
    "id": 18,
    "data": {
        "prompt": "What burned the library?",
        "items": [
            {"id": "llm_1", "title": "LLM 1", "body": "Wars."},
            {"id": "llm_2", "title": "LLM 2", "body": "Fire."},
            {"id": "llm_3", "title": "LLM 3", "body": "Time."},
        ],
    },
    "annotations": [
        {
            "completed_by": {"id": 5, "email": "kim@example.org", "first_name": "Kim"},
            "result": [
                {
                    "type": "ranker",
                    "value": {"ranker": {"rank": ["llm_3", "llm_1", "llm_2"]}},
                    "from_name": "rank",
                    "to_name": "answers",
                }
            ],
            "created_at": "2026-03-09T22:16:08Z",
        }
    ],
    "predictions": [
        {
            "model_version": "judge-2",
            "score": 0.4,
            "result": [
                {
                    "type": "ranker",
                    "value": {"ranker": ["llm_1", "llm_2", "llm_3"]},
                    "from_name": "rank",
                    "to_name": "answers",
                }
            ],
        }
    ],
}
JSON_MIN: dict[str, Any] = {
    "id": 17,
    "prompt": "Say hi.",
    "answer1": "Hi!",
    "answer2": "No.",
    "comparison": "right",
    "annotator": 3,
    "annotation_id": 1,
    "created_at": "2026-03-09T22:16:08Z",
    "updated_at": "2026-03-09T22:17:08Z",
    "lead_time": 4.288,
}
HH = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello!", "rejected": "\n\nHuman: Hi\n\nAssistant: No."}
H4_BINARIZED: dict[str, Any] = {
    "prompt": "Name a fruit.",
    "prompt_id": "0f3a",
    "chosen": [user("Name a fruit."), assistant("A pear.")],
    "rejected": [user("Name a fruit."), assistant("A stone.")],
    "messages": [user("Name a fruit."), assistant("A pear.")],
    "score_chosen": 8.5,
    "score_rejected": 3.0,
}
ARGILLA_BINARIZED: dict[str, Any] = {
    "source": "sharegpt",
    "prompt": "Name a fruit.",
    "chosen": [user("Name a fruit."), assistant("A pear.")],
    "chosen-rating": 5.0,
    "chosen-model": "gpt-4",
    "rejected": [user("Name a fruit."), assistant("A stone.")],
    "rejected-rating": 2.0,
    "rejected-model": "pythia-12b",
}
OWN_RANKING: dict[str, Any] = {
    "prompt": [user("Count.")],
    "responses": [[assistant("1 2")], [assistant("2 1")], [assistant("1, 2")]],
    "ranks": [1, 3, 1],
    "weight": 0.5,
    "agreement": 1.0,
    "n_annotators": 2,
    "prompt_id": "p",
    "response_ids": ["x", "y", "z"],
}

SAMPLES: dict[str, list[dict[str, Any]]] = {
    "touchstone": [pair(), pair([user("Hi")], annotations=[]), OWN_RANKING],
    "hh-rlhf": [HH, HH | {"id": "x"}],
    "trl": [
        {"prompt": "Hi", "chosen": "Hello!", "rejected": "No."},
        {"chosen": [user("a"), assistant("b")], "rejected": [user("a"), assistant("c")]},
        H4_BINARIZED,
        ARGILLA_BINARIZED,
    ],
    "prompts": [{"prompt": "Hi"}, {"messages": [user("Hi")]}],
    "ultrafeedback": [
        ULTRAFEEDBACK,
        {"instruction": "Go.", "completions": [{"response": "a"}, {"response": "b"}]},
    ],
    "shp": [SHP, {key: SHP[key] for key in ("history", "human_ref_A", "human_ref_B", "labels")}],
    "webgpt": [WEBGPT, {"question": "Why?", "answer_0": "So.", "answer_1": "Else."}],
    "pku-saferlhf": [PKU, PKU_10K],
    "arena": [ARENA, ARENA_55K],
    "oasst": [OASST_TREE, OASST_RANKING],
    "argilla": [ARGILLA, ARGILLA_FLAT, ARGILLA_1],
    "label-studio": [PAIRWISE, RANKER, JSON_MIN],
}
