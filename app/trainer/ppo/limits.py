"""When a run ends before its last step: the KL budget, or a monitor that is to stop it."""

from collections.abc import Sequence
from typing import Any

import torch

from app.run_config import PpoConfig
from app.trainer.monitors import LastGood, Seen, Watch, for_people, react
from app.trainer.ppo.episodes import Episode, Play, PolicyAndValue
from app.trainer.rollout import noise_seed
from app.trainer.run_folder import RunFolder

SENT = 4  # stream of sampling noise of what people get to see


class Limits:
    """Looks at the episodes of each step; keeps the last policy that was within all limits."""

    def __init__(self, config: PpoConfig, module: PolicyAndValue, play: Play) -> None:
        self.config, self.policy, self.play = config, module.policy, play
        self.watch = Watch(config)
        needed = config.kl_budget is not None or config.monitor_action == "stop"
        self.last_good = LastGood(module.policy, is_off=not needed)
        self.why = self.sentence = ""  # once the run is to end

    @property
    def exceeded(self) -> bool:
        return bool(self.why)

    def look(
        self, episodes: Sequence[Episode], step: int, folder: RunFolder, *, kl: float
    ) -> dict[str, float]:
        """Figures of the monitors; `exceeded` says whether the run is to end before it updates."""
        figures, alarms = self.watch.observe(step, self._seen(episodes, kl))
        stop = react(
            self.watch, folder, alarms, step=step, lines=lambda: self._lines(step, episodes)
        )
        if stop:
            self.why, self.sentence = "monitor", stop
        self.check(kl, step)
        stops = self.config.monitor_action == "stop"
        if not self.exceeded and (self.watch.within or not stops):
            self.last_good.keep(self.policy)
        return figures

    def check(self, kl: float, step: int) -> None:
        """End the run once responses are further from the reference than the budget allows."""
        limit = self.config.kl_budget
        if limit is not None and kl > limit and not self.why:
            self.why = "kl_budget"
            self.sentence = (
                f"Stopped at step {step}: responses are {kl:.3g} nats away from the reference, "
                f"over kl_budget = {limit:g}; the last weights within it are kept."
            )

    def put_back(self) -> None:
        self.last_good.put_back(self.policy)

    def _seen(self, episodes: Sequence[Episode], kl: float) -> Seen:
        watched = [e.watched for e in episodes if e.watched is not None]
        distances = [e.distance for e in episodes if e.distance is not None]
        responses = [e.example.responses[0] for e in episodes]
        return Seen(
            responses,
            [self.play.chat.decode(response) for response in responses],
            max(kl, 0.0) ** 0.5,
            [e.score for e in episodes],
            torch.tensor([e.members for e in episodes]).T,
            watched or None,
            distances or None,
            [e.example.prompt for e in episodes],
        )

    def _lines(self, step: int, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
        """A response of now to each of a few prompts, beside one of the start."""
        first = {e.example.prompt: e.example for e in reversed(episodes)}
        asked = list(first.values())[: self.config.monitor_prompts]
        seeds = [noise_seed(self.config.seed, SENT, step, place) for place in range(len(asked))]
        before = self.play.start_answers(asked, seeds)
        return for_people(
            step,
            [example.row.prompt for example in asked],
            *(
                [self.play.chat.decode(example.responses[0]) for example in examples]
                for examples in (before, asked)
            ),
        )
