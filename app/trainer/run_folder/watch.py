"""A training that runs away without ever ceasing to be a number."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from app.run_config import DpoConfig, PpoConfig, RunConfig
from app.trainer import losses

WINDOW, OFTEN = 9, 5  # a sign counts once so many of the last updates show it: one batch may be odd
USUAL = 50  # sound updates whose median is the usual loss
FACTOR, LEAST = 2.0, 5.0  # a loss runs away beyond twice its usual, and below 5 nats never
VANISHED = 1e-4  # share of the first gradient; the loss must still be a tenth of the first one
TIMES, NATS = 5.0, 50.0  # so much less likely has DPO made what it is to make likelier
STRIDE, OFTEN_FAR = 0.2, 3  # policy/approxkl_avg of an update; clipped ones stay below 0.05


class DivergenceWatch:
    """Says once that a run diverges, and once more only after it had become sound again.

    The size of a loss tells it, where that cannot be negative: PPO's hovers about 0 whatever
    happens, and there it is how far one update moves the policy. A loss that is bounded (KTO's)
    stays where it is, but has no gradient any more, and DPO's may fall all the same.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.first: dict[str, float] = {}
        self.past: list[float] = []  # sound losses
        self.shown: dict[str, list[bool]] = {}  # by the last updates, by sign
        self.told: list[str] = []

    def sees(self, step: int, metrics: Mapping[str, float]) -> str:
        """A sentence that says what to change, at the update where it becomes clear; else ""."""
        if "loss" not in metrics:
            return ""  # a run that ends before it updates
        for name in ("loss", "grad_norm"):
            self.first.setdefault(name, metrics.get(name, 0.0))
        if isinstance(self.config, PpoConfig):
            return self._strides(step, metrics.get("policy/approxkl_avg", 0.0))
        return (
            self._loss(step, metrics["loss"])
            or self._gradient(step, metrics)
            or self._chosen(step, metrics)
        )

    def _loss(self, step: int, loss: float) -> str:
        if isinstance(self.config, DpoConfig) and self.config.loss_type == "robust":
            return ""  # falls without end where all goes well, so that a single pair may cost much
        first = self.first["loss"]
        usual = median(self.past) if self.past else first
        limit = max(FACTOR * max(first, usual), LEAST)
        if loss <= limit:
            self.past = [*self.past, loss][-USUAL:]
        if not self._often("loss", shows=loss > limit):
            return ""
        return (
            f"The loss diverges: {loss:.3g} at step {step}, above {limit:.3g} in {OFTEN} of the "
            f"last {len(self.shown['loss'])} updates. It began at {first:.3g} and had been "
            f"{usual:.3g} as a rule. {self._advice()}"
        )

    def _gradient(self, step: int, metrics: Mapping[str, float]) -> str:
        norm, loss = metrics.get("grad_norm", 0.0), metrics["loss"]
        gone = norm < VANISHED * self.first["grad_norm"] and loss > 0.1 * self.first["loss"]
        if not self._often("gradient", shows=gone):
            return ""
        return (
            f"The gradient has vanished: {norm:.2g} at step {step}, {self.first['grad_norm']:.2g} "
            f"at the first, while the loss is still {loss:.3g}. Updates were too large, and what "
            f"comes now changes nothing. {self._advice()}"
        )

    def _chosen(self, step: int, metrics: Mapping[str, float]) -> str:
        """DPO's loss may fall while the policy comes to write nothing that anybody could read."""
        if not isinstance(self.config, DpoConfig) or "logps/chosen" not in metrics:
            return ""
        if self.config.loss_type in losses.REFERENCE_FREE:
            return ""
        own = metrics["logps/chosen"]
        frozen = own - metrics["rewards/chosen"] / self.config.beta
        if not self._often("chosen", shows=own < min(TIMES * frozen, frozen - NATS)):
            return ""
        return (
            f"The policy diverges: logps/chosen is {own:.4g} nats at step {step}, where the "
            f"reference has {frozen:.4g}, and was as low in {OFTEN} of the last "
            f"{len(self.shown['chosen'])} updates. It forgets how to write. {self._advice()}"
        )

    def _strides(self, step: int, moved: float) -> str:
        if not self._often("stride", shows=moved > STRIDE, often=OFTEN_FAR):
            return ""
        return (
            f"The policy diverges: policy/approxkl_avg is {moved:.3g} at step {step} and was above "
            f"{STRIDE:g} in {OFTEN_FAR} of the last {len(self.shown['stride'])} updates, further "
            f"than the clip of the ratio is to let it go. {self._advice()}"
        )

    def _often(self, sign: str, *, shows: bool, often: int = OFTEN) -> bool:
        """Whether so many of the last updates show it, and that has not been said yet."""
        self.shown[sign] = [*self.shown.get(sign, []), shows][-WINDOW:]
        count = sum(self.shown[sign])
        if count == 0 and sign in self.told:
            self.told.remove(sign)
        if count < often or sign in self.told:
            return False
        self.told.append(sign)
        return True

    def _advice(self) -> str:
        clip = "" if self.config.max_grad_norm else ", clip with max_grad_norm=1"
        rate = f"Lower learning_rate (now {self.config.learning_rate:g})"
        if isinstance(self.config, PpoConfig) and self.config.num_ppo_epochs > 1:
            return f"{rate} or num_ppo_epochs (now {self.config.num_ppo_epochs}){clip}."
        return f"{rate}, or add warmup_steps{clip}."

    def state(self) -> dict[str, Any]:
        names = ("first", "past", "shown", "told")
        return {name: getattr(self, name) for name in names}

    def load(self, state: Mapping[str, Any]) -> None:
        if "shown" in state:  # else of an older run, which is watched anew
            for name, value in state.items():
                setattr(self, name, value)
