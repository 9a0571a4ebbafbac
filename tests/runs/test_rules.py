import pytest

from app.errors import Conflict, Invalid
from app.run_config import parse_config, total_steps
from app.runs import rules
from app.runs.formats import charts_of


def test_a_succeeded_run_never_changes_again() -> None:
    assert rules.MOVES["succeeded"] == frozenset()
    assert not rules.can_move("failed", "running")  # only through the queue
    assert rules.can_move("cancelled", "queued")


@pytest.mark.parametrize("kind", ["sft", "dpo", "ppo"])
def test_a_reward_model_is_no_base_for_a_model_that_writes(kind: str) -> None:
    with pytest.raises(Invalid, match="only scores"):
        rules.check_base_kind(kind, "reward")


def test_a_reward_model_may_start_from_anything() -> None:
    rules.check_base_kind("reward", "reward")
    rules.check_base_kind("reward", "sft")


def test_only_ppo_takes_a_reward_model_and_needs_one() -> None:
    rules.check_reward("ppo", has_reward=True)
    with pytest.raises(Invalid, match="needs a reward model"):
        rules.check_reward("ppo", has_reward=False)
    with pytest.raises(Invalid, match="Only PPO"):
        rules.check_reward("dpo", has_reward=True)


def test_a_reward_model_prefers_whole_rankings() -> None:
    config = parse_config("reward", {})
    there = ["preference", "ranking", "sft"]
    assert rules.dataset_config("reward", config, available=there) == "ranking"
    assert rules.dataset_config("reward", config, available=["preference"]) == "preference"


def test_kto_reads_unpaired_rows_and_a_chosen_config_wins() -> None:
    kto = parse_config("dpo", {"loss_type": "kto"})
    assert rules.dataset_config("dpo", kto, available=["preference", "unpaired"]) == "unpaired"
    chosen = parse_config("sft", {"dataset_config": "preference"})
    assert rules.dataset_config("sft", chosen, available=["preference", "sft"]) == "preference"


def test_objectives_need_ratings_beside_the_comparisons() -> None:
    config = parse_config("reward", {"objectives": "all"})
    assert rules.dataset_config("reward", config, available=["ranking", "ratings"]) == "ranking"
    with pytest.raises(Invalid, match="objectives learn from the ratings of a snapshot"):
        rules.dataset_config("reward", config, available=["ranking"])


def test_missing_data_is_named_with_what_is_there() -> None:
    with pytest.raises(Invalid, match=r"preference data.*It has prompts.*judge some tasks"):
        rules.dataset_config("dpo", parse_config("dpo", {}), available=["prompts"])


@pytest.mark.parametrize(
    ("kind", "settings", "rows", "steps"),
    [
        ("sft", {"per_device_train_batch_size": 8}, 64, 8),
        ("sft", {"per_device_train_batch_size": 8}, 65, 9),
        ("sft", {"per_device_train_batch_size": 8, "num_train_epochs": 2.5}, 64, 20),
        ("dpo", {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}, 64, 4),
        ("reward", {"max_steps": 7}, 10_000, 7),
        ("ppo", {"per_device_train_batch_size": 16, "total_episodes": 100}, 5, 20),
        ("ppo", {"per_device_train_batch_size": 16, "total_episodes": 100}, 24, 9),
        ("ppo", {"per_device_train_batch_size": 16, "total_episodes": 100}, 999, 7),
        ("ppo", {"algorithm": "rloo", "num_generations": 4}, 64, 16),
        ("ppo", {"algorithm": "grpo", "total_episodes": 100}, 5, 10),
        ("sft", {}, 1, 1),
    ],
)
def test_steps_are_estimated(kind: str, settings: dict[str, float], rows: int, steps: int) -> None:
    assert total_steps(parse_config(kind, settings), rows) == steps


def test_time_left_goes_by_the_pace_of_logged_steps() -> None:
    # ten steps took 20 s, forty are left
    assert rules.seconds_left((51, 1000.0), (61, 1020.0), total_steps=101) == 80
    assert rules.seconds_left((51, 1000.0), (51, 1000.0), total_steps=101) is None
    assert rules.seconds_left((51, 1000.0), (61, 1020.0), total_steps=None) is None
    assert rules.seconds_left((1, 0.0), (30, 60.0), total_steps=20) == 0  # a low estimate


def test_postgresql_can_hold_what_a_model_wrote() -> None:
    hostile = {"loss": float("nan"), "text": "a\0b\ud800", "list": [float("inf"), 1.5]}
    assert rules.storable(hostile) == {"loss": None, "text": "a\ufffdb?", "list": [None, 1.5]}


def test_only_what_differs_from_the_defaults_is_shown() -> None:
    config = {"learning_rate": 1e-3, "lora_target_modules": [], "seed": 42}
    defaults = {"learning_rate": 2e-5, "lora_target_modules": (), "seed": 42}
    assert rules.changed_settings(config, defaults) == {"learning_rate": 1e-3}


def test_bad_input_is_told_in_the_trainers_own_words() -> None:
    said = ["step 1/3", "The model folder /m has no config.json, so it holds no model."]
    assert rules.failure(2, said) == f"{said[-1]} {rules.REMEDIES[2]}"


def test_running_out_of_memory_says_what_to_lower() -> None:
    assert "max_tokens_per_forward" in rules.failure(-9, [])
    assert "max_tokens_per_forward" in rules.failure(137, ["step 3/9"])
    assert "max_tokens_per_forward" in rules.failure(3, [])


def test_a_loss_that_is_no_number_says_what_to_lower() -> None:
    assert "learning_rate" in rules.failure(4, ["The loss became nan at step 3"])


def test_what_nobody_foresaw_is_told_with_its_last_words() -> None:
    assert "exit code 1" in rules.failure(1, ["Traceback", "KeyError: 'x'", ""])
    assert "KeyError: 'x'." in rules.failure(1, ["Traceback", "KeyError: 'x'", ""])


def test_a_rehearsal_that_refuses_tells_nobody_to_start_again() -> None:
    refused = rules.refusal(2, ["max_length is 8."])
    assert refused == "max_length is 8. Nothing was started. Correct that, and check it again."
    assert "resume" not in rules.refusal(1, ["KeyError: 'x'"])


def test_only_runs_that_ended_badly_can_be_resumed() -> None:
    for state in ("failed", "cancelled"):
        rules.must_be_final(state)
    with pytest.raises(Conflict, match="nothing to resume"):
        rules.must_be_final("succeeded")
    with pytest.raises(Conflict, match="running already"):
        rules.must_be_final("running")


def test_a_chain_passes_often_over_little_data_and_over_a_part_of_much() -> None:
    little = rules.chain_settings({"sft": 50, "ranking": 50, "preference": 100})
    assert [little[kind]["num_train_epochs"] for kind in ("sft", "reward", "dpo")] == [16, 3, 4]
    much = rules.chain_settings({"sft": 16_000, "preference": 160_000})
    assert [much[kind]["num_train_epochs"] for kind in ("sft", "reward", "dpo")] == [
        0.1,
        0.01,
        0.01,
    ]
    assert rules.chain_settings({})["sft"]["num_train_epochs"] == 16


def test_making_a_model_says_how_far_it_is() -> None:
    assert rules.making_a_model([]).endswith("of the snapshot")
    said = ["loading", "new model 12/45  loss 6.5", "new model 14/45  loss 6.4  454 tokens/s"]
    assert rules.making_a_model(said).endswith("(14 of 45)")
    assert rules.new_model_steps("tiny", corpus_bytes=100) == 40
    assert rules.new_model_steps("tiny", corpus_bytes=10**9) == 300


def test_a_run_without_a_value_model_has_no_curve_of_its_loss() -> None:
    def titles(**config: str) -> list[str]:
        return [chart.title for chart in charts_of("ppo", config)]

    assert set(titles()) - set(titles(algorithm="rloo")) == {"Does it foresee its scores?"}
