"""Episodes: the policy writes, the judges score, and the models are measured once."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from app.run_config import PpoConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import (
    Example,
    Forward,
    Layout,
    pieces,
)
from app.trainer.chat import ChatFormat
from app.trainer.judges import Judges, Verdict, aggregate
from app.trainer.optimization import Updater
from app.trainer.processes import any_process, put_together, shares
from app.trainer.rollout import Sampling, generate, noise_seed


class PolicyAndValue(nn.Module):
    """What is trained: the policy, and values from a model of their own, a head on it, or none."""

    def __init__(self, policy: Any, value: models.Scorer | None, *, critic: bool = True) -> None:
        super().__init__()
        self.policy, self.value = policy, value
        self.head: nn.Linear | None = None
        if critic and value is None:
            width = policy.get_output_embeddings().weight.shape[1]
            self.head = nn.Linear(width, 1)
            nn.init.zeros_(self.head.weight)  # values start at 0 (lm-human-preferences)
            nn.init.zeros_(self.head.bias)

    def parts(self) -> list[nn.Module]:
        """The modules that are called by themselves: the policy also alone, to generate."""
        return list(self.children())

    def forward(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """Logits of each action and the value of the state before it (0 without a critic)."""
        if self.value is not None:
            return models.target_logits(self.policy, layout), self.value(layout, layout.sources)
        if self.head is None:
            logits = models.target_logits(self.policy, layout)
            return logits, logits.new_zeros(len(logits), dtype=torch.float32)
        logits, states = models.target_states(self.policy, layout)
        with torch.autocast(states.device.type, enabled=False):
            values = self.head(states.float()).squeeze(-1)
        return logits, values


@dataclass(frozen=True)
class Episode:
    """One response with what was known of it when it was sampled; tensors on the CPU."""

    example: Example
    ended: bool  # whether it reached a stop token
    score: float  # of the judges, as it came
    logps: Tensor  # (actions,)
    ref_logps: Tensor  # (actions,)
    values: Tensor  # (actions,), and one more for reward_position=trl
    entropy: float  # mean over the actions, nats
    drift: float  # KL from the reference, summed over the actions with every token considered
    members: tuple[float, ...] = ()  # scores of an ensemble, of which `score` was made
    watched: float | None = None  # score of the model that is not trained on
    distance: float | None = None  # from the reward model's training data

    @property
    def actions(self) -> int:
        return int(self.logps.numel())

    @property
    def kl(self) -> float:
        """The same estimated from the sampled tokens alone (k1): unbiased, but noisy."""
        return float((self.logps - self.ref_logps).sum())


MOST_KEPT = 2  # passes whose activations stay until the first update


@dataclass(frozen=True)
class Pass:
    """A forward pass over episodes; what came out knows its gradients."""

    places: list[int]  # of its responses, among all episodes
    layout: Layout
    logits: Tensor  # (actions,) of all responses, by vocabulary
    values: Tensor  # (actions,)


class Play:
    """The models that make episodes; `reference` None is the policy without its adapter."""

    def __init__(
        self,
        config: PpoConfig,
        accelerator: Accelerator,
        updater: Updater,
        reference: Any,
        judges: Judges,
        chat: ChatFormat,
        forward: Forward,
    ) -> None:
        self.config, self.accelerator, self.updater = config, accelerator, updater
        self.reference, self.judges, self.chat, self.forward = reference, judges, chat, forward
        self.kept: list[Pass] = []  # of the last episodes that are to be learned from

    def episodes(
        self,
        prompts: Sequence[Example],
        *,
        stream: int,
        number: int,
        group: int = 1,
        learning: bool = False,
    ) -> list[Episode]:
        """Answer prompts with the policy as it is now, `group` times each, and measure the answers.

        Each process plays its share of the prompts; all get all episodes, in the order of the
        prompts, those of one prompt one behind the other. `learning` keeps what the first update
        can use.
        """
        rank, every = self.accelerator.process_index, self.accelerator.num_processes
        learning = learning and len(prompts) >= every  # else somebody has no pass to keep
        costs = [len(prompt.prompt) + self.config.response_length for prompt in prompts]
        mine = [i * group + k for i in shares(costs, every)[rank] for k in range(group)]
        seeds = [noise_seed(self.config.seed, stream, number, place) for place in mine]
        with self.updater.whole():
            answered = self.generate([prompts[place // group] for place in mine], seeds)
            verdict = self.judges.read(answered) if answered else None
            own = self.measure(answered, verdict, at=mine if learning else None) if verdict else []
        return put_together(self.accelerator, mine, own)

    def start_answers(self, prompts: Sequence[Example], seeds: Sequence[int]) -> list[Example]:
        """What the reference answers with the same noise."""
        with self._reference() as reference:
            return self.generate(prompts, seeds, lm=reference)

    def generate(
        self, prompts: Sequence[Example], seeds: Sequence[int], *, lm: Any = None
    ) -> list[Example]:
        """Each prompt with one sampled response, of the policy if `lm` names no other."""
        responses = generate(
            self.updater.bare.policy if lm is None else lm,
            [example.prompt for example in prompts],
            Sampling(self.config.response_length, self.config.temperature),
            stop_ids=self.chat.stop_ids,
            seeds=seeds,
            batch_size=self.config.generation_batch_size,
            bf16=self.config.bf16,
            pack=self.forward.max_tokens if self.forward.packed else 0,
            recorded=self.config.recorded_generation,
        )
        return [
            replace(example, responses=(tuple(response),))
            for example, response in zip(prompts, responses, strict=True)
        ]

    def ended(self, example: Example) -> bool:
        return example.responses[0][-1] in self.chat.stop_ids

    @torch.no_grad()
    def measure(
        self, answered: Sequence[Example], verdict: Verdict, *, at: Sequence[int] | None = None
    ) -> list[Episode]:
        """Log-probabilities (also the reference's), values and entropy by one forward pass each.

        The same pass as in training, so that the first ratio is exactly 1; the responses to a
        prompt share its tokens. `at` are their places among all episodes, for the passes that the
        first update can use.
        """
        bare, config = self.updater.bare, self.config
        bare.eval()
        scores = aggregate(
            verdict.members, config.reward_aggregation, config.reward_uncertainty_coef
        )
        seen = extended(answered, config, self.chat)
        groups, places = by_prompt(seen, most=self.forward.max_tokens)
        episodes: dict[int, Episode] = {}
        self.kept = []
        every = list(pieces(groups, self.forward))
        kept_at = at if at is not None and self._may_keep(len(every)) else None
        for piece in every:
            layout = self.forward.lay_out([groups[i] for i in piece])
            layout = layout.to(self.accelerator.device)
            within = [i for group in piece for i in places[group]]
            kept = [kept_at[i] for i in within] if kept_at is not None else None
            logits, ref_logits, values = self._read(layout, kept)
            logps = losses.logps_of(logits, layout.targets).cpu()
            ref_logps = losses.logps_of(ref_logits, layout.targets).cpu()
            spread, drift = (x.cpu() for x in losses.entropy_and_kl(logits, ref_logits))
            owners = layout.owners.cpu()
            for owner, i in enumerate(within):
                states = (owners == owner).nonzero().squeeze(1)
                own = states[: len(answered[i].responses[0])]
                episodes[i] = Episode(
                    answered[i],
                    self.ended(answered[i]),
                    float(scores[i]),
                    logps[own],
                    ref_logps[own],
                    values[states],
                    float(spread[own].mean()),
                    float(drift[own].sum()),
                    tuple(verdict.members[:, i].tolist()),
                    None if verdict.watched is None else float(verdict.watched[i]),
                    None if verdict.distance is None else float(verdict.distance[i]),
                )
        bare.train()
        return [episodes[i] for i in range(len(answered))]

    def _may_keep(self, passes: int) -> bool:
        """Whether the first update sees the same passes, and their activations fit in memory.

        Of several processes each keeps one, for they add up gradients behind a single pass.
        """
        config, alone = self.config, self.accelerator.num_processes == 1
        as_trained = not (config.gradient_checkpointing or config.lora_dropout)
        one_step = config.num_mini_batches == 1 and not self.updater.sharded
        if not (config.reuse_first_pass and one_step and as_trained):
            return False
        too_many = passes > MOST_KEPT if alone else passes != 1
        return not any_process(self.accelerator, flag=too_many)

    def _read(self, layout: Layout, places: list[int] | None) -> tuple[Tensor, Tensor, Tensor]:
        """Tempered logits of policy and reference on the device, and values on the CPU.

        The pass is kept where the `places` of its responses are told.
        """
        keep = places is not None
        with models.autocast(self.accelerator.device, bf16=self.config.bf16):
            with torch.set_grad_enabled(keep):
                model = self.updater.model if keep else self.updater.bare
                logits, values = model(layout)
            with self._reference() as reference:
                ref_logits = models.target_logits(reference, layout)
        if places is not None:
            self.kept.append(Pass(places, layout, logits, values))
            logits, values = logits.detach(), values.detach()
        logits, ref_logits = (
            losses.tempered(found, self.config.temperature) for found in (logits, ref_logits)
        )
        return logits, ref_logits, values.float().cpu()

    @contextlib.contextmanager
    def _reference(self) -> Iterator[Any]:
        """The frozen start: a model of its own, or the policy without its adapter."""
        if self.reference is not None:
            yield self.reference
            return
        with self.updater.bare.policy.disable_adapter():
            yield self.updater.bare.policy


def by_prompt(answered: Sequence[Example], *, most: int) -> tuple[list[Example], list[list[int]]]:
    """Answers to the same prompt as one example, and which answers each example holds.

    An example has at most so many tokens, unless a single answer has more.
    """
    places: list[list[int]] = []
    latest: dict[tuple[int, ...], tuple[list[int], int]] = {}  # prompt → its group, and its tokens
    for i, answer in enumerate(answered):
        own, tokens = latest.get(answer.prompt, ([], most))
        tokens += len(answer.responses[0])
        if tokens > most:
            own, tokens = [], answer.length
            places.append(own)
        own.append(i)
        latest[answer.prompt] = own, tokens
    groups = [
        replace(answered[own[0]], responses=tuple(answered[i].responses[0] for i in own))
        for own in places
    ]
    return groups, places


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
