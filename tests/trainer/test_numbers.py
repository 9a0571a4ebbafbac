"""Losses and weights that run away: told while it happens, and ended with where to go on."""

import copy
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.run_config import DpoConfig, PpoConfig, RewardConfig, RunConfig, SftConfig
from app.trainer.optimization import Updater
from app.trainer.run_folder.watch import DivergenceWatch


def sentences(losses: list[float], config: RunConfig | None = None) -> dict[int, str]:
    """What is said of losses whose gradient is sound, by step."""
    watch = DivergenceWatch(config or SftConfig())
    rows = [{"loss": loss, "grad_norm": 1.0} for loss in losses]
    told = {step: watch.sees(step, row) for step, row in enumerate(rows, 1)}
    return {step: sentence for step, sentence in told.items() if sentence}


class TestWatch:
    def test_a_loss_that_stays_high_is_told_once(self) -> None:
        told = sentences([2.0] * 20 + [50.0] * 12)
        assert list(told) == [25]
        assert "The loss diverges: 50 at step 25, above 5 in 5 of the last 9 updates" in told[25]
        assert "It began at 2 and had been 2 as a rule." in told[25]
        assert "Lower learning_rate (now 2e-05)" in told[25]
        assert "max_grad_norm" not in told[25]
        unclipped = sentences([2.0] * 20 + [50.0] * 12, SftConfig(max_grad_norm=0.0))
        assert "clip with max_grad_norm=1" in unclipped[25]

    def test_one_that_comes_down_again_is_not_and_a_second_time_is(self) -> None:
        assert not sentences([2.0] * 20 + [50.0] * 4 + [2.0] * 9 + [50.0] * 4)
        assert list(sentences([2.0] * 20 + [50.0] * 5 + [2.0] + [50.0] * 5)) == [25]
        assert list(sentences([2.0] * 20 + [50.0] * 5 + [2.0] * 9 + [50.0] * 5)) == [25, 39]

    def test_a_loss_that_jumps_to_and_fro_diverges_too(self) -> None:
        """DPO's, once the policy is broken: some pairs stand right by far, others wrong by far."""
        assert list(sentences([0.693, 20.8, 0.0, 42.4, 119.0, 28.8, 30.5])) == [7]

    def test_the_first_updates_may_already_be_too_large(self) -> None:
        assert list(sentences([1.0, 35.5, 89.6, 81.1, 96.2, 75.2, 54.6])) == [6]

    def test_a_loss_near_0_may_rise_to_where_it_began(self) -> None:
        assert not sentences([0.69] + [1e-4] * 60 + [0.6] * 20)
        assert not sentences([1.0] + [0.0] * 60 + [0.9] * 20)  # hinge, where no pair costs anything

    def test_an_easy_first_batch_is_not_what_others_are_measured_by(self) -> None:
        assert not sentences([0.01] + [1.2, 2.4, 0.8] * 20)

    def test_a_loss_at_a_limit_is_within(self) -> None:
        assert not sentences([3.0] * 20 + [6.0] * 20)
        assert sentences([3.0] * 20 + [6.01] * 20)
        assert not sentences([0.3] * 20 + [5.0] * 20)  # as a hard row may cost
        assert sentences([0.3] * 20 + [5.01] * 20)

    @pytest.mark.parametrize("seed", range(30))
    def test_noise_is_no_divergence(self, seed: int) -> None:
        """Losses of single rows, which deviate by half their size, fall in the course of a run."""
        rng = random.Random(seed)
        for config in (SftConfig(), RewardConfig(), DpoConfig()):
            falling = [2.5 * 0.995**n * rng.lognormvariate(0, 0.5) for n in range(1000)]
            assert not sentences(falling, config)

    @pytest.mark.parametrize("seed", range(30))
    @pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
    def test_a_surrogate_about_0_says_nothing_by_its_size(self, algorithm: str, seed: int) -> None:
        rng, config = random.Random(seed), PpoConfig(algorithm=algorithm)
        watch = DivergenceWatch(config)
        for step in range(1, 500):
            moved = 0.02 * rng.lognormvariate(0, 0.7)
            row = {"loss": rng.gauss(-1e-3, 0.05), "grad_norm": 1.0, "policy/approxkl_avg": moved}
            assert not watch.sees(step, row)
        assert not sentences([-4e-4] * 60, config)

    def test_robust_losses_fall_below_0_and_single_pairs_cost_much(self) -> None:
        falling = [0.7 - 0.1 * n for n in range(60)]
        assert not sentences(falling + [13.0] * 9, DpoConfig(loss_type="robust"))

    def test_a_policy_that_moves_too_far_in_one_update(self) -> None:
        watch = DivergenceWatch(PpoConfig())
        moves = [0.01, 0.2, 0.3, 0.1, 1.5, 0.05, 2.0, 3.0]
        rows = [{"loss": 0.0, "grad_norm": 1.0, "policy/approxkl_avg": moved} for moved in moves]
        told = [watch.sees(step, row) for step, row in enumerate(rows, 1)]
        assert [bool(sentence) for sentence in told] == [False] * 6 + [True, False]
        assert "approxkl_avg is 2 at step 7 and was above 0.2 in 3 of the last 7" in told[6]
        assert "Lower learning_rate (now 3e-06) or num_ppo_epochs (now 4)." in told[6]

    def test_a_bounded_loss_whose_gradient_has_gone(self) -> None:
        """KTO's: every response is as unlikely as can be, and nothing brings it back."""
        watch = DivergenceWatch(DpoConfig(loss_type="kto"))
        rows = [(0.5, 0.6)] + [(0.75, 1e-8), (0.0, 0.0), (1.0, 1e-7)] * 3
        told = [
            watch.sees(step, {"loss": loss, "grad_norm": norm})
            for step, (loss, norm) in enumerate(rows, 1)
        ]
        assert [step for step, sentence in enumerate(told, 1) if sentence] == [8]
        assert "The gradient has vanished: 1e-08 at step 8, 0.6 at the first" in told[7]

    def test_a_policy_that_forgets_what_it_is_to_prefer(self) -> None:
        """The loss is small, for rejected responses have become unlikelier still."""
        watch = DivergenceWatch(DpoConfig())
        row = {"loss": 0.1, "grad_norm": 1.0}
        falls = [(-30.0, 0.0), (-60.0, -3.0)] + [(-200.0, -17.0)] * 6  # the reference: -30
        told = [
            watch.sees(step, row | {"logps/chosen": own, "rewards/chosen": reward})
            for step, (own, reward) in enumerate(falls, 1)
        ]
        assert [step for step, sentence in enumerate(told, 1) if sentence] == [7]
        assert "logps/chosen is -200 nats at step 7, where the reference has -30" in told[6]
        sure = DivergenceWatch(DpoConfig())  # of an answer of one word, and still rather sure
        less = row | {"logps/chosen": -12.0, "rewards/chosen": -1.1}
        assert not any(sure.sees(step, less) for step in range(1, 30))

    def test_a_loss_that_is_rightly_0_has_no_gradient(self) -> None:
        watch = DivergenceWatch(DpoConfig(loss_type="hinge"))
        assert not watch.sees(1, {"loss": 1.0, "grad_norm": 2.0})
        assert not any(watch.sees(n, {"loss": 0.0, "grad_norm": 0.0}) for n in range(2, 60))

    @pytest.mark.parametrize("cut", [1, 3, 22, 26])
    def test_it_goes_on_after_a_resume(self, cut: int) -> None:
        losses = [2.0] * 20 + [50.0] * 9
        whole, part = DivergenceWatch(SftConfig()), DivergenceWatch(SftConfig())
        rows = [{"loss": loss, "grad_norm": 1.0} for loss in losses]
        expected = [whole.sees(step, row) for step, row in enumerate(rows, 1)]
        found = [part.sees(step, row) for step, row in enumerate(rows[:cut], 1)]
        resumed = DivergenceWatch(SftConfig())
        resumed.load(copy.deepcopy(part.state()))
        found += [resumed.sees(step, row) for step, row in enumerate(rows[cut:], cut + 1)]
        assert found == expected
        assert resumed.state() == whole.state()

    def test_a_checkpoint_of_an_older_run_is_watched_anew(self) -> None:
        watch = DivergenceWatch(SftConfig())
        watch.load({"past": [2.0], "first": 2.0, "high": 0})
        assert not watch.sees(9, {"loss": 2.0, "grad_norm": 1.0})


KINDS = {
    "sft": ("sft", {}),
    "reward": ("reward", {}),
    "sigmoid": ("dpo", {"loss_type": "sigmoid"}),
    "ipo": ("dpo", {"loss_type": "ipo"}),
    "orpo": ("dpo", {"loss_type": "orpo"}),
    "kto": ("dpo", {"loss_type": "kto"}),
    "robust": ("dpo", {"loss_type": "robust", "label_smoothing": 0.2}),
    "sigmoid_norm": ("dpo", {"loss_type": "sigmoid_norm"}),
    "ppo": ("ppo", {"algorithm": "ppo"}),
    "rloo": ("ppo", {"algorithm": "rloo"}),
    "grpo": ("ppo", {"algorithm": "grpo"}),
}
TOO_FAST = {"reward": 30.0, "grpo": 0.1}  # GRPO faster still has a gradient that is no number


@pytest.mark.parametrize("name", KINDS)
def test_a_rate_far_too_high_is_told_and_a_sound_one_is_not(name: str, train, judge: str) -> None:
    kind, settings = KINDS[name]
    settings = {"max_steps": 12, "num_samples": 0, "lr_scheduler_type": "constant"} | settings
    if kind == "ppo":
        settings |= {"reward_model_path": judge, "response_length": 12}
    sound = train(kind, output="sound", learning_rate=1e-4, **settings)
    fast = train(kind, output="fast", learning_rate=TOO_FAST.get(name, 3.0), **settings)
    assert sound.code == fast.code == 0, sound.err + fast.err
    signs = ("diverges", "has vanished")
    assert not [n for n in sound.result["notes"] if any(sign in n for sign in signs)]
    told = [n for n in fast.result["notes"] if any(sign in n for sign in signs)]
    assert 1 <= len(told) == len(set(told))
    assert set(told) <= set(fast.result["warnings"])
    assert set(told) <= {row["message"] for row in fast.read("warnings.jsonl")}


def poison(monkeypatch: pytest.MonkeyPatch, at: int, *, gradient: float | None) -> None:
    """From update `at` on gradients are such, or the weights after it are not numbers."""
    step = Updater.step

    @torch.no_grad()
    def poisoned(self: Updater, number: int, loss: float, **more: bool) -> dict[str, float]:
        first = next(p for p in self.bare.parameters() if p.requires_grad)
        if gradient is not None and number >= at:
            first.grad[0] = gradient
        found = step(self, number, loss, **more)
        if gradient is None and number == at:
            first[0] = float("nan")
        return found

    monkeypatch.setattr(Updater, "step", poisoned)


@pytest.mark.parametrize(
    ("kind", "gradient"), [("sft", float("inf")), ("reward", float("nan")), ("dpo", float("inf"))]
)
def test_a_gradient_that_is_no_number_ends_with_the_last_good_weights_named(
    kind: str, gradient: float, train, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 3, gradient=gradient)
    run = train(kind, max_steps=4, save_steps=2, num_samples=0)
    assert run.code == 4
    assert run.err.startswith("Not a number at step 3: loss ")
    model = run.folder / "checkpoints" / "step-2" / "model"
    assert f"The last good weights are in {model}: a new run can begin there" in run.err
    assert run.result["error"] == run.err.strip()
    monkeypatch.undo()
    again = train(kind, model=str(model), max_steps=1, num_samples=0, output="again")
    assert again.code == 0, again.err


@pytest.mark.parametrize("at", [2, 3])
def test_weights_that_are_no_numbers_are_never_saved(
    at: int, train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it at a checkpoint or at the end of the run."""
    poison(monkeypatch, at, gradient=None)
    run = train("sft", max_steps=3, save_steps=1, num_samples=0)
    assert run.code == 4
    assert "The weights are not numbers any more (model.embed_tokens.weight)" in run.err
    assert not (run.folder / "model").exists()
    saved = sorted(p.name for p in (run.folder / "checkpoints").iterdir())
    assert saved == [f"step-{n}" for n in range(1, at)]
    kept = load_file(Path(run.folder) / f"checkpoints/step-{at - 1}/model/model.safetensors")
    assert all(torch.isfinite(weights).all() for weights in kept.values())


def test_resumed_it_still_knows_that_it_diverged(train) -> None:
    given = {"learning_rate": 3.0, "num_samples": 0, "lr_scheduler_type": "constant"}
    first = train("sft", max_steps=8, save_steps=4, **given)
    (told,) = first.result["warnings"]
    assert told.startswith("The loss diverges: ")
    again = train("sft", "--resume", max_steps=10, **given)
    assert again.result["warnings"] == [told]


def test_without_a_checkpoint_that_is_said(train) -> None:
    run = train("sft", learning_rate=1e25, max_steps=20, max_grad_norm=0)
    assert "clip with max_grad_norm=1" in run.err
    assert "No checkpoint had been saved (save_steps)." in run.err
