"""The proof of the whole: a rule that can be learned is learned, within what was allowed.

`tests/benchmarks/learning.py` does the same at a larger size, and on real judgements.
"""

from pathlib import Path

import pytest
import torch

from app.trainer.new_model import Size, make_lm
from tests.trainer import manners

LEARNER = Size(vocabulary=400, hidden=64, layers=2, heads=4, inner=176, steps=0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """140 prompts to learn from with four draws of responses each, 40 others to be tested on."""
    folder = tmp_path_factory.mktemp("world")
    return manners.write_dataset(folder, train=140, test=40, rounds=4)


@pytest.fixture(scope="module")
def newborn(tmp_path_factory: pytest.TempPathFactory, tokenizer) -> str:
    folder = tmp_path_factory.mktemp("newborn")
    torch.manual_seed(0)
    make_lm(LEARNER, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_from_nothing_to_good_manners(train, world: Path, newborn: str) -> None:
    given = {"dataset": world, "num_samples": 0, "logging_steps": 5}
    sft = train(
        "sft", model=newborn, output="sft", max_steps=110, per_device_train_batch_size=16,
        learning_rate=3e-3, eval_steps=110, **given,
    )  # fmt: skip
    assert sft.code == 0, sft.err
    assert sft.metrics[-1]["eval_mean_token_accuracy"] > 0.7
    start = str(sft.folder / "model")

    reward = train("reward", model=start, output="reward", max_steps=45, eval_steps=45, **given)
    assert reward.code == 0, reward.err
    last = reward.metrics[-1]
    assert last["eval_accuracy"] > 0.9
    assert last["eval_longer_wins"] < 0.7  # length alone does not explain it

    dpo = train(
        "dpo", model=start, output="dpo", max_steps=40, eval_steps=40, learning_rate=5e-4, **given
    )
    assert dpo.code == 0, dpo.err
    first, last = dpo.metrics[0], dpo.metrics[-1]
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3)  # the policy is still the reference
    assert last["eval_loss"] < 0.4
    assert last["eval_rewards/accuracies"] > 0.85

    ppo = train(
        "ppo", model=start, output="ppo", max_steps=16, eval_steps=8, learning_rate=7e-4,
        reward_model_path=reward.folder / "model", response_length=24, kl_budget=8,
        per_device_train_batch_size=24, temperature=1.0, num_ppo_epochs=2, **given,
    )  # fmt: skip
    assert ppo.code == 0, ppo.err
    first, last = ppo.metrics[0], ppo.metrics[-1]
    gain = last["eval_objective/scores"] - first["objective/scores"]
    assert gain > reward.metrics[-1]["eval_score_std"] / 2
    assert last["eval_objective/kl"] <= 8
