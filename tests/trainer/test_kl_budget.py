"""Where a run over its KL budget ends, and what it leaves: told by a run that has none."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ALGORITHMS = {
    "ppo": {},
    "rloo": {"algorithm": "rloo", "num_generations": 4},
    "grpo": {"algorithm": "grpo", "num_generations": 4},
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_ends_at_the_first_step_beyond_it_with_the_weights_before(
    train, judge: str, micro: str, algorithm: str
) -> None:
    given = {
        "reward_model_path": judge, "response_length": 8, "per_device_train_batch_size": 8,
        "learning_rate": 3e-3, "kl_coef": 0.0, "max_steps": 4, "eval_steps": 3, "save_steps": 1,
        "save_total_limit": 0, "num_samples": 0, "monitor_action": "off",
        "num_ppo_epochs": 2,
    } | ALGORITHMS[algorithm]  # fmt: skip
    free = train("ppo", output="free", **given)
    assert free.code == 0, free.err
    seen = [row["objective/kl_exact"] for row in free.metrics]
    evaluated = {row["step"]: row.get("eval_objective/kl") for row in free.metrics}
    for budget in (0.98 * seen[3], 0.98 * evaluated[3]):
        stop = next(
            step
            for step, kl in enumerate(seen, 1)
            if kl > budget or (evaluated[step] or 0.0) > budget
        )
        run = train("ppo", output=f"at {budget}", kl_budget=budget, **given)
        assert run.code == 0, run.err
        assert (run.result["stopped"], run.result["steps"]) == ("kl_budget", stop)
        assert run.figures()[: stop - 1] == free.figures()[: stop - 1]
        assert run.metrics[-1]["objective/kl_exact"] == seen[stop - 1]
        within = stop - 1 if seen[stop - 1] <= budget else stop - 2  # updates it has behind it
        good = free.folder / "checkpoints" / f"step-{within}" / "model" if within else Path(micro)
        expected = load_file(good / "model.safetensors")
        for folder in (run.folder, run.folder / "checkpoints" / f"step-{stop}"):
            found = load_file(folder / "model" / "model.safetensors")
            assert all(torch.equal(found[name], expected[name]) for name in expected)
