"""Watching a training that writes nothing by itself (DPO): the same prompts, answered again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from accelerate import Accelerator

from app.run_config import DpoConfig
from app.trainer.batches import Example
from app.trainer.chat import ChatFormat
from app.trainer.judges import Judge
from app.trainer.monitors.acting import for_people, react, take_up
from app.trainer.monitors.keeping import LastGood
from app.trainer.monitors.watch import LEAST, Seen, Watch
from app.trainer.rollout import Sampling, answers
from app.trainer.run_folder import RunFolder


class Reader:
    """Asks a policy a few prompts with the same noise each time, and watches what it says."""

    def __init__(
        self,
        config: DpoConfig,
        chat: ChatFormat,
        asked: Sequence[Example],
        folder: RunFolder,
        judge: Judge | None,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.chat, self.folder, self.judge = config, chat, folder, judge
        self.accelerator = accelerator
        self.watch = Watch(config)
        self.prompts = list(asked[: config.monitor_prompts]) if self.watch.is_on else []
        often = -(-LEAST // max(len(self.prompts), 1))  # a few prompts are asked several times
        self.asked = (self.prompts * often)[: max(len(self.prompts), LEAST)]
        self.before: list[list[int]] = []  # what the untrained policy said to each prompt
        self.last_good: LastGood | None = None

    def begin(self, model: Any, state: Mapping[str, Any]) -> None:
        """Ask the start of the run, or go on where a checkpoint left off."""
        self.last_good = LastGood(model, is_off=self.config.monitor_action != "stop")
        if "before" in state:
            self.before = state["before"]
            self.last_good.load(state["within"])
            take_up(self.watch, self.folder, state["watch"])
        elif self.asked:
            said = self._written(model)
            self.watch.observe(0, self._seen(said, step=0, score=0.0))
            self.before = said[: len(self.prompts)]

    def look(self, policy: Any, step: int, *, score: float) -> tuple[dict[str, float], bool]:
        """Figures for the log, and whether the run is to end now, its weights put back.

        `score` is what training raises: the margin of the implicit rewards.
        """
        if not self.asked or self.last_good is None or not math.isfinite(score):
            return {}, False  # of weights that are not numbers the next update or save tells
        said = self._written(policy)
        figures, alarms = self.watch.observe(step, self._seen(said, step=step, score=score))
        why = react(
            self.watch, self.folder, alarms, step=step, lines=lambda: self._lines(step, said)
        )
        if why:
            self.last_good.put_back(policy)
            self.folder.stop_here(step, "monitor", why)
        elif self.watch.within:
            self.last_good.keep(policy)
        return figures, bool(why)

    def state(self) -> dict[str, Any]:
        within = self.last_good.state() if self.last_good else {}
        return {"before": self.before, "within": within, "watch": self.watch.state()}

    def _written(self, policy: Any) -> list[list[int]]:
        config = self.config
        sampling = Sampling(config.max_new_tokens, config.temperature)
        return answers(
            policy, self.chat, self.asked, sampling, self.accelerator,
            seed=config.seed, bf16=config.bf16,
        )  # fmt: skip

    def _seen(self, said: Sequence[Sequence[int]], *, step: int, score: float) -> Seen:
        watched = distances = None
        if self.judge:
            answered = [
                replace(example, responses=(tuple(response),), said=())
                for example, response in zip(self.asked, said, strict=True)
            ]
            scores, far = self.judge.read(answered)
            watched, distances = scores.tolist(), None if far is None else far.tolist()
        texts = [self.chat.decode(response) for response in said]
        return Seen(said, texts, float(step), [score], watched=watched, distances=distances)

    def _lines(self, step: int, said: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
        """The first answers to each prompt; none that were not asked when the run began."""
        count = min(len(self.prompts), len(self.before))
        return for_people(
            step,
            [example.row.prompt for example in self.prompts[:count]],
            [self.chat.decode(response) for response in self.before[:count]],
            [self.chat.decode(response) for response in said[:count]],
        )
