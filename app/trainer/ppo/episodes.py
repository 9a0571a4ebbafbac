"""Episodes: the policy writes, the reward model scores, and both models are measured once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from app.run_config import PpoConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import (
    Example,
    Forward,
    Layout,
    lay_out,
    pieces,
)
from app.trainer.chat import ChatFormat
from app.trainer.optimization import Updater
from app.trainer.rollout import RewardModel, Sampling, generate, noise_seed


class PolicyAndValue(nn.Module):
    """What PPO trains: the policy, and values from a model of their own or a head on its trunk."""

    def __init__(self, policy: Any, value: models.Scorer | None) -> None:
        super().__init__()
        self.policy, self.value = policy, value
        if value is None:
            width = policy.get_output_embeddings().weight.shape[1]
            self.head = nn.Linear(width, 1)
            nn.init.zeros_(self.head.weight)  # values start at 0 (lm-human-preferences)
            nn.init.zeros_(self.head.bias)

    def parts(self) -> list[nn.Module]:
        """The modules that are called by themselves: the policy also alone, to generate."""
        return list(self.children())

    def forward(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """Logits of each action and the value of the state before it."""
        if self.value is not None:
            return models.target_logits(self.policy, layout), self.value(layout, layout.sources)
        logits, states = models.target_states(self.policy, layout)
        with torch.autocast(states.device.type, enabled=False):
            values = self.head(states.float()).squeeze(-1)
        return logits, values


@dataclass(frozen=True)
class Episode:
    """One response with what was known of it when it was sampled; tensors on the CPU."""

    example: Example
    ended: bool  # whether it reached a stop token
    score: float  # of the reward model, as it came
    logps: Tensor  # (actions,)
    ref_logps: Tensor  # (actions,)
    values: Tensor  # (actions,), and one more for reward_position=trl
    entropy: float  # mean over the actions, nats
    drift: float  # KL from the reference, summed over the actions with every token considered

    @property
    def actions(self) -> int:
        return int(self.logps.numel())

    @property
    def kl(self) -> float:
        """The same estimated from the sampled tokens alone (k1): unbiased, but noisy."""
        return float((self.logps - self.ref_logps).sum())


class Play:
    """The models that make episodes; `reference` None is the policy without its adapter."""

    def __init__(
        self,
        config: PpoConfig,
        accelerator: Accelerator,
        updater: Updater,
        reference: Any,
        reward: RewardModel,
        chat: ChatFormat,
        forward: Forward,
    ) -> None:
        self.config, self.accelerator, self.updater = config, accelerator, updater
        self.reference, self.reward, self.chat, self.forward = reference, reward, chat, forward
        self.shared_tokens = reward.shares_tokens(chat)

    def episodes(self, prompts: Sequence[Example], *, stream: int, number: int) -> list[Episode]:
        """Answer prompts with the policy as it is now and measure the answers.

        Each process plays its share; all get all episodes, in the order of the prompts.
        """
        rank, every = self.accelerator.process_index, self.accelerator.num_processes
        mine = range(rank, len(prompts), every)
        seeds = [noise_seed(self.config.seed, stream, number, place) for place in mine]
        with self.updater.whole():
            answered = self.generate([prompts[i] for i in mine], seeds)
            own = self.measure(answered, self.score(answered))
        if every == 1:
            return own
        gathered = gather_object(list(zip(mine, own, strict=True)))
        return [episode for _, episode in sorted(gathered, key=lambda pair: pair[0])]

    def generate(self, prompts: Sequence[Example], seeds: Sequence[int]) -> list[Example]:
        """Each prompt with one sampled response."""
        responses = generate(
            self.updater.bare.policy,
            [example.prompt for example in prompts],
            Sampling(self.config.response_length, self.config.temperature),
            stop_ids=self.chat.stop_ids,
            seeds=seeds,
            batch_size=self.config.generation_batch_size,
            bf16=self.config.bf16,
        )
        return [
            replace(example, responses=(tuple(response),))
            for example, response in zip(prompts, responses, strict=True)
        ]

    def score(self, answered: Sequence[Example]) -> Tensor:
        """The reward model's score of each response: `(episodes,)`."""
        if not self.shared_tokens:
            return self.reward.score_texts(
                [replace(e.row, replies=((self._said(e),),)) for e in answered]
            )
        tail = tuple(self.chat.tail_ids)  # what the template writes behind a finished reply
        return self.reward.score(
            [
                replace(e, responses=(e.responses[0] + tail,)) if self.ended(e) else e
                for e in answered
            ]
        )

    def _said(self, example: Example) -> dict[str, str]:
        return {"role": "assistant", "content": self.chat.decode(example.responses[0])}

    def ended(self, example: Example) -> bool:
        return example.responses[0][-1] in self.chat.stop_ids

    @torch.no_grad()
    def measure(self, answered: Sequence[Example], scores: Tensor) -> list[Episode]:
        """Log-probabilities (also the reference's), values and entropy by one forward pass each.

        The same pass as in training, so that the first ratio is exactly 1.
        """
        bare = self.updater.bare
        bare.eval()
        seen = extended(answered, self.config, self.chat)
        episodes: dict[int, Episode] = {}
        for group in pieces(seen, self.forward):
            own = [seen[i] for i in group]
            layout = lay_out(own, packed=self.forward.packed).to(self.accelerator.device)
            with models.autocast(self.accelerator.device, bf16=self.config.bf16):
                logits, values = bare(layout)
                ref_logits = self._reference_logits(layout)
            logits = logits.float() / self.config.temperature
            ref_logits = ref_logits.float() / self.config.temperature
            logps = losses.logps_of(logits, layout.targets).cpu()
            ref_logps = losses.logps_of(ref_logits, layout.targets).cpu()
            spread, drift = (x.cpu() for x in losses.entropy_and_kl(logits, ref_logits))
            values = values.float().cpu()
            owners = layout.owners.cpu()
            for place, i in enumerate(group):
                at = owners == place
                actions = len(answered[i].responses[0])
                episodes[i] = Episode(
                    answered[i],
                    self.ended(answered[i]),
                    float(scores[i]),
                    logps[at][:actions],
                    ref_logps[at][:actions],
                    values[at],
                    float(spread[at][:actions].mean()),
                    float(drift[at][:actions].sum()),
                )
        bare.train()
        return [episodes[i] for i in range(len(answered))]

    def _reference_logits(self, layout: Layout) -> Tensor:
        if self.reference is not None:
            return models.target_logits(self.reference, layout)
        with self.updater.bare.policy.disable_adapter():
            return models.target_logits(self.updater.bare.policy, layout)


def extended(answered: Sequence[Example], config: PpoConfig, chat: ChatFormat) -> list[Example]:
    """For `reward_position=trl`: finished responses with one more place, where the score is paid.

    Its token is never counted as an action; the value there is trained.
    """
    if config.reward_position != "trl":
        return list(answered)
    width = max(len(e.responses[0]) for e in answered)
    stop = min(chat.stop_ids)
    return [
        replace(e, responses=((*e.responses[0], stop),))
        if e.responses[0][-1] in chat.stop_ids and len(e.responses[0]) < width
        else e
        for e in answered
    ]


# -- penalise ---------------------------------------------------------------------------------
