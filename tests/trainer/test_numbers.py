"""Losses and weights that run away: told while it happens, and ended with where to go on."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.run_config import SftConfig
from app.trainer.optimization import Updater
from app.trainer.run_folder.watch import LossWatch


def sentences(losses: list[float], **settings: object) -> dict[int, str]:
    watch = LossWatch(SftConfig(**settings))
    told = {step: watch.sees(step, {"loss": loss}) for step, loss in enumerate(losses, 1)}
    return {step: sentence for step, sentence in told.items() if sentence}


class TestWatch:
    def test_a_loss_that_stays_high_is_told_once(self) -> None:
        told = sentences([2.0] * 20 + [50.0] * 12)
        assert list(told) == [25]
        assert "The loss diverges: 50 at step 25, over 10 times its usual 2 for 5" in told[25]
        assert "Lower learning_rate (now 2e-05)" in told[25]
        assert "max_grad_norm" not in told[25]
        unclipped = sentences([2.0] * 20 + [50.0] * 12, max_grad_norm=0.0)
        assert "clip with max_grad_norm=1" in unclipped[25]

    def test_one_that_comes_down_again_is_not_and_a_second_time_is(self) -> None:
        assert not sentences([2.0] * 20 + [50.0] * 4 + [2.0] * 9 + [50.0] * 4)
        assert list(sentences([2.0] * 20 + [50.0] * 5 + [2.0] + [50.0] * 5)) == [25, 31]

    def test_a_loss_near_0_may_rise_to_where_it_began(self) -> None:
        assert not sentences([0.69] + [1e-4] * 60 + [0.6] * 20)

    def test_without_a_past_nothing_is_usual(self) -> None:
        assert not sentences([1.0, 1e3, 1e3, 1e3, 1e3, 1e3])

    def test_it_goes_on_after_a_resume(self) -> None:
        losses = [2.0] * 20 + [50.0] * 3
        watch = LossWatch(SftConfig())
        for step, loss in enumerate(losses, 1):
            watch.sees(step, {"loss": loss})
        resumed = LossWatch(SftConfig())
        resumed.load(watch.state())
        assert not resumed.sees(24, {"loss": 50.0})
        assert resumed.sees(25, {"loss": 50.0})


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


def test_without_a_checkpoint_that_is_said(train) -> None:
    run = train("sft", learning_rate=1e25, max_steps=20, max_grad_norm=0)
    assert "clip with max_grad_norm=1" in run.err
    assert "No checkpoint had been saved (save_steps)." in run.err
