"""A loss that runs away without ever ceasing to be a number."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from app.run_config import RunConfig

WINDOW, FACTOR, PATIENCE = 50, 10.0, 5


class LossWatch:
    """Speaks once the loss has been 10 times its usual size for 5 updates in a row.

    Usual is the median of the last 50. A loss below that of the first update never counts, because
    one that had come near 0 (DPO's) may well rise again.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.past: list[float] = []
        self.first: float | None = None
        self.high = 0  # updates in a row

    def sees(self, step: int, metrics: Mapping[str, float]) -> str:
        """A sentence that says what to change, at the update where it becomes clear; else ""."""
        loss = metrics.get("loss")
        if loss is None:
            return ""
        self.first = loss if self.first is None else self.first
        usual = median(self.past) if len(self.past) >= PATIENCE else loss
        if loss <= max(FACTOR * usual, self.first):
            self.high = 0
            self.past = [*self.past, loss][-WINDOW:]
            return ""
        self.high += 1
        if self.high != PATIENCE:
            return ""
        advice = "" if self.config.max_grad_norm else ", clip with max_grad_norm=1"
        return (
            f"The loss diverges: {loss:.3g} at step {step}, over {FACTOR:g} times its usual "
            f"{usual:.3g} for {PATIENCE} steps. Lower learning_rate (now "
            f"{self.config.learning_rate:g}), or add warmup_steps{advice}."
        )

    def state(self) -> dict[str, Any]:
        return {"past": self.past, "first": self.first, "high": self.high}

    def load(self, state: Mapping[str, Any]) -> None:
        self.past, self.first, self.high = state["past"], state["first"], state["high"]
