"""Proximal policy optimisation: generate → score → penalise → advantages → update."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
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
    Sampler,
    batch_size,
    encode_prompt,
    lay_out,
    pieces,
    read_examples,
)
from app.trainer.chat import ChatFormat
from app.trainer.dataset import prompt_row
from app.trainer.failures import BadInput, Cancelled
from app.trainer.optimization import Updater, seed_everything, total_steps
from app.trainer.rollout import RewardModel, Sampling, generate, noise_seed, readable
from app.trainer.run_folder import RunFolder

EVAL_PROMPTS = 64  # most prompts answered in one evaluation
EVALUATION, REFERENCE = 1, 2  # streams of sampling noise beside that of training (0)


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


@dataclass
class Shaping:
    """How scores become rewards; `kl_coef` moves when it adapts."""

    kl_coef: float
    mean: float = 0.0
    std: float = 1.0


def train(
    config: PpoConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Raise the reward model's score of what the policy says, at a price per nat of drift."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    chat = ChatFormat(tokenizer)
    bare = models.load_lm(model)
    reward, value = load_judges(config, model, chat, folder)
    context = min(config.max_length, models.context_limit(bare))
    data = read_examples(
        dataset,
        config,
        purpose="ppo",
        to_row=prompt_row,
        encode=partial(encode_prompt, chat=chat, longest=context - config.response_length),
        context_limit=models.context_limit(bare),
    )
    folder.describe_data(data.figures, data.sentences)
    sampler = Sampler(
        [example.length for example in data.train],
        batch=batch_size(config, accelerator.num_processes),
        seed=config.seed,
        shuffle=config.shuffle,
        group=config.group_by_length,
    )
    steps = total_steps(config, sampler.steps_per_epoch)
    if config.total_episodes and config.max_steps < 0:
        steps = -(-config.total_episodes // sampler.batch_size)
    folder.plan(
        total_steps=steps,
        steps_per_epoch=sampler.steps_per_epoch,
        start={"model": models.fingerprint(bare), "data": data.fingerprint()},
    )
    packable = folder.packs(models.can_pack(bare, longest=config.max_length))
    forward = Forward.of(config, accelerator.device, packable=packable)
    reference = None if config.lora_r else copy.deepcopy(bare).eval().requires_grad_(False)
    policy = models.with_lora(bare, config, scores=False)
    updater = Updater(accelerator, PolicyAndValue(policy, value), config, steps)
    reward.model.to(accelerator.device)
    if reference is not None:
        reference.to(accelerator.device)
    play = Play(config, accelerator, updater, reference, reward, chat, forward)
    shaping = Shaping(config.kl_coef)
    budget = KlBudget(config.kl_budget, updater.bare)
    held_out = (data.test or data.train)[:EVAL_PROMPTS]

    done = 0
    if found := folder.load_checkpoint():
        done, checkpoint, state = found
        models.load_weights(policy, checkpoint / "model")
        load_values(updater.bare, checkpoint)
        updater.load(state)
        shaping, budget.kept = Shaping(**state["shaping"]), state["within"]
    else:
        normalise(shaping, play, data.train, config)

    def save(step: int) -> None:
        state = updater.state() | {
            "sampler": sampler.state(step),
            "shaping": vars(shaping),
            "within": budget.kept,
        }

        def write(path: Path) -> None:
            models.save(policy, tokenizer, path / "model")
            save_values(updater.bare, tokenizer, path)

        folder.save_checkpoint(step, write, state)

    try:
        for step in range(done + 1, steps + 1):
            began = time.perf_counter()
            batch = [data.train[i] for i in sampler.batch(step - 1)]
            episodes = play.episodes(batch, stream=0, number=step)
            metrics = objective(episodes, shaping, config)
            over = budget.exceeded(metrics["objective/kl_exact"])
            if not over:
                budget.keep(updater.bare)
                metrics |= update(episodes, shaping, config, updater, forward, step)
                adapt(shaping, config, metrics["objective/kl"], len(episodes))
            tokens = sum(e.example.length for e in episodes)
            metrics["tokens_per_second"] = tokens / (time.perf_counter() - began)
            metrics["episode"] = float(step * sampler.batch_size)
            if over or folder.eval_due(step):
                shown = play.episodes(held_out, stream=EVALUATION, number=0)
                over = over or budget.exceeded(evaluation(shown)["eval_objective/kl"])
                if over:
                    budget.put_back(updater.bare)
                    folder.stop_here(step, "kl_budget", budget.sentence(step))
                    shown = play.episodes(held_out, stream=EVALUATION, number=0)
                metrics |= evaluation(shown)
                folder.sample(step, [sample(e, chat) for e in shown[: config.num_samples]])
            folder.log(step, metrics)
            if over or folder.save_due(step):
                save(step)
            if over:
                break
    except Cancelled:
        save(folder.step)
        raise
    folder.save_model(
        lambda path: models.save(policy, tokenizer, path), base=model, dataset=dataset
    )


# -- setting up -------------------------------------------------------------------------------


def load_judges(
    config: PpoConfig, model: str, chat: ChatFormat, folder: RunFolder
) -> tuple[RewardModel, models.Scorer | None]:
    """The reward model, and the value model that starts as its copy (or on the policy)."""
    name = config.reward_model_path
    if not name:
        raise BadInput("PPO needs a reward model: set reward_model_path to its folder.")
    tokenizer = models.load_tokenizer(models.locate(name, "reward model"))
    loaded = models.load_reward_model(name, tokenizer, role="reward model", fresh=False)
    limit = min(config.max_length, models.context_limit(loaded))
    reward = RewardModel(loaded, tokenizer, max_tokens=max(limit, 1024), bf16=config.bf16)
    if config.value_model == "shared":
        return reward, None
    if reward.shares_tokens(chat):
        start = copy.deepcopy(loaded).requires_grad_(True)
    else:
        folder.note("The reward model has other tokens; values start from the policy instead.")
        start = models.load_reward_model(model, copy.deepcopy(chat.tokenizer))
        nn.init.zeros_(start.score.weight)
    return reward, models.Scorer(models.with_lora(start, config, scores=True))


def normalise(
    shaping: Shaping, play: "Play", prompts: Sequence[Example], config: PpoConfig
) -> None:
    """Set the scale of scores, so that `kl_coef` means the same whatever the reward model."""
    if config.score_normalization == "model":
        found = play.reward.model.config
        shaping.mean = float(getattr(found, "score_mean", 0.0))
        shaping.std = float(getattr(found, "score_std", 1.0))
    elif config.score_normalization == "reference":
        episodes = play.episodes(prompts[:EVAL_PROMPTS], stream=REFERENCE, number=0)
        scores = torch.tensor([e.score for e in episodes])
        shaping.mean = float(scores.mean())
        shaping.std = max(float(scores.std(correction=0)), 1e-6)


# -- generate and score -----------------------------------------------------------------------


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


def shaped_scores(episodes: Sequence[Episode], shaping: Shaping, config: PpoConfig) -> Tensor:
    """Scores on the wanted scale, clipped, less a penalty for never ending: `(episodes,)`."""
    scores = torch.tensor([e.score for e in episodes])
    scores = (scores - shaping.mean) / shaping.std
    if config.score_clip:
        scores = scores.clamp(-config.score_clip, config.score_clip)
    if config.missing_eos_penalty is not None:
        unfinished = torch.tensor([not e.ended for e in episodes])
        scores = scores - config.missing_eos_penalty * unfinished
    return scores


def penalise(scores: Tensor, kl: Tensor, lengths: Tensor, paid_at: Tensor, coef: float) -> Tensor:
    """Rewards: -coef · kl for each action, and the score where it is paid.

    `(episodes,)`, `(episodes, time)`, `(episodes,)` actions and places → `(episodes, time)`.
    """
    time_ = torch.arange(kl.shape[1])
    rewards = torch.where(time_ < lengths[:, None], -coef * kl, torch.zeros_like(kl))
    rewards[torch.arange(len(scores)), paid_at] += scores
    return rewards


def objective(episodes: Sequence[Episode], shaping: Shaping, config: PpoConfig) -> dict[str, float]:
    """What the policy is worth before the update, under TRL's names; KL in nats per response."""
    count = len(episodes)
    kl = sum(e.kl for e in episodes) / count
    priced = [
        float(losses.kl_per_token(e.logps, e.ref_logps, config.kl_estimator).sum())
        for e in episodes
    ]
    non_score = -shaping.kl_coef * sum(priced) / count
    shaped = shaped_scores(episodes, shaping, config)
    return {
        "objective/scores": sum(e.score for e in episodes) / count,
        "objective/rlhf_reward": float(shaped.mean()) + non_score,
        "objective/non_score_reward": non_score,
        "objective/kl": kl,
        "objective/kl_exact": sum(e.drift for e in episodes) / count,
        "objective/kl_coef": shaping.kl_coef,
        "objective/entropy": -sum(float(e.logps.sum()) for e in episodes) / count,
        "policy/entropy_avg": sum(e.entropy * e.actions for e in episodes)
        / sum(e.actions for e in episodes),
        "tokens/response_length": sum(e.actions for e in episodes) / count,
        "val/num_eos_tokens": float(sum(e.ended for e in episodes)),
    }


# -- advantages -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Targets:
    """What the update aims at, all `(episodes, time)`; 0 where a mask is."""

    logps: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    actions: Tensor  # mask of tokens that were chosen
    valued: Tensor  # mask of states whose value is trained


def targets_of(episodes: Sequence[Episode], shaping: Shaping, config: PpoConfig) -> Targets:
    """Rewards, advantages and returns of a batch of episodes."""
    lengths = torch.tensor([e.actions for e in episodes])
    states = torch.tensor([e.values.numel() for e in episodes])
    width = int(states.max())
    grid = torch.arange(width)
    actions, valued = grid < lengths[:, None], grid < states[:, None]
    logps = as_grid([e.logps for e in episodes], width)
    kl = losses.kl_per_token(
        logps, as_grid([e.ref_logps for e in episodes], width), config.kl_estimator
    )
    values = as_grid([e.values for e in episodes], width)
    scores = shaped_scores(episodes, shaping, config)
    rewards = penalise(scores, kl, lengths, states - 1, shaping.kl_coef)
    if config.whiten_rewards:
        rewards = losses.whiten(rewards, valued, shift_mean=False)
    advantages, returns = losses.gae(rewards, values, gamma=config.gamma, lam=config.lam)
    if config.whiten_advantages:
        advantages = losses.whiten(advantages, actions)
    return Targets(logps, values, advantages * actions, returns * valued, actions, valued)


def as_grid(rows: Sequence[Tensor], width: int) -> Tensor:
    """Rows of different length, filled with 0: `(rows, width)`."""
    grid = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        grid[i, : row.numel()] = row
    return grid


# -- update -----------------------------------------------------------------------------------


def update(
    episodes: Sequence[Episode],
    shaping: Shaping,
    config: PpoConfig,
    updater: Updater,
    forward: Forward,
    step: int,
) -> dict[str, float]:
    """Some epochs of clipped policy and value steps over the episodes → figures for the log."""
    device = updater.accelerator.device
    targets = targets_of(episodes, shaping, config)
    on_device = Targets(**{name: grid.to(device) for name, grid in vars(targets).items()})
    seen = [
        replace(e.example, responses=(e.example.responses[0] + (0,) * extra,))
        for e in episodes
        for extra in [e.values.numel() - e.actions]
    ]
    size = len(episodes) // config.num_mini_batches
    rounds = config.num_ppo_epochs * config.num_mini_batches
    gathered: dict[str, float] = {}
    for epoch in range(config.num_ppo_epochs):
        generator = torch.Generator().manual_seed(noise_seed(config.seed, 3, step, epoch))
        order = torch.randperm(len(episodes), generator=generator).tolist()
        for start in range(0, size * config.num_mini_batches, size):
            last_size = len(episodes) - start
            is_last = start + size >= size * config.num_mini_batches
            chosen = order[start : start + (last_size if is_last else size)]
            figures = mini_batch(seen, chosen, on_device, config, updater, forward)
            last = epoch == config.num_ppo_epochs - 1 and is_last
            figures |= updater.step(step, figures["loss"], advance=last)
            for name, value in figures.items():
                gathered[name] = gathered.get(name, 0.0) + value / rounds
    return gathered


def mini_batch(
    seen: Sequence[Example],
    chosen: Sequence[int],
    targets: Targets,
    config: PpoConfig,
    updater: Updater,
    forward: Forward,
) -> dict[str, float]:
    """Gradients of one mini-batch; every action and every state counts the same."""
    device = updater.accelerator.device
    at = torch.tensor(chosen, device=device)
    actions, states = targets.actions[at].sum(), targets.valued[at].sum()
    names = ("policy", "value", "ratio", "ratio2", "approxkl", "clipped", "value_clipped")
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    batch = [seen[i] for i in chosen]
    for examples, places, scale in updater.pieces(batch, forward):
        layout = lay_out(examples, packed=forward.packed).to(device)
        with models.autocast(device, bf16=forward.bf16):
            logits, values = updater.model(layout)
        rows = torch.tensor([chosen[i] for i in places], device=device)[layout.owners]
        cells = (rows, layout.columns)
        acted, valued = targets.actions[cells], targets.valued[cells]
        logps = losses.logps_of(logits.float() / config.temperature, layout.targets)
        logps = torch.where(acted, logps, targets.logps[cells])
        policy, ratio, clipped = losses.ppo_policy(
            logps, targets.logps[cells], targets.advantages[cells], config.cliprange
        )
        value, value_clipped = losses.ppo_value(
            values, targets.values[cells], targets.returns[cells], config.cliprange_value
        )
        policy_loss = (policy * acted).sum() / actions
        value_loss = (value * valued).sum() / states
        updater.backward((policy_loss + config.vf_coef * value_loss) * scale)
        if scale:
            with torch.no_grad():
                sums["policy"] += policy_loss.detach()
                sums["value"] += value_loss.detach()
                sums["ratio"] += (ratio * acted).sum() / actions
                sums["ratio2"] += (ratio**2 * acted).sum() / actions
                difference = logps - targets.logps[cells]
                sums["approxkl"] += 0.5 * (difference**2 * acted).sum() / actions
                sums["clipped"] += (clipped * acted).sum() / actions
                sums["value_clipped"] += (value_clipped * valued).sum() / states
    totals = updater.total(sums)
    return {
        "loss": totals["policy"] + config.vf_coef * totals["value"],
        "loss/policy_avg": totals["policy"],
        "loss/value_avg": totals["value"],
        "policy/approxkl_avg": totals["approxkl"],
        "policy/clipfrac_avg": totals["clipped"],
        "val/clipfrac_avg": totals["value_clipped"],
        "val/ratio": totals["ratio"],
        "val/ratio_var": max(totals["ratio2"] - totals["ratio"] ** 2, 0.0),
    }


class KlBudget:
    """Keeps the last weights of the policy that were within the limit, and puts them back."""

    def __init__(self, limit: float | None, module: PolicyAndValue) -> None:
        self.limit, self.found = limit, 0.0
        self.kept: dict[str, Tensor] = {}
        self.keep(module)

    def exceeded(self, kl: float) -> bool:
        self.found = kl
        return self.limit is not None and kl > self.limit

    def keep(self, module: PolicyAndValue) -> None:
        if self.limit is not None:
            trained = ((n, p) for n, p in module.policy.named_parameters() if p.requires_grad)
            self.kept = {name: p.detach().cpu().clone() for name, p in trained}

    @torch.no_grad()
    def put_back(self, module: PolicyAndValue) -> None:
        parameters = dict(module.policy.named_parameters())
        for name, value in self.kept.items():
            parameters[name].copy_(value)

    def sentence(self, step: int) -> str:
        return (
            f"Stopped at step {step}: responses are {self.found:.3g} nats away from the reference, "
            f"over kl_budget = {self.limit:g}; the last weights within it are kept."
        )


def adapt(shaping: Shaping, config: PpoConfig, kl: float, episodes: int) -> None:
    """Move the price of KL towards its target, where one is set."""
    if config.kl_target:
        shaping.kl_coef = losses.adapted_kl_coef(
            shaping.kl_coef,
            kl,
            target=config.kl_target,
            horizon=config.kl_horizon,
            episodes=episodes,
        )


# -- what people see, and what is kept ----------------------------------------------------------


def evaluation(episodes: Sequence[Episode]) -> dict[str, float]:
    """Means over held-out prompts, answered with the same noise each time; KL is the exact one."""
    count = len(episodes)
    return {
        "eval_objective/scores": sum(e.score for e in episodes) / count,
        "eval_objective/kl": sum(e.drift for e in episodes) / count,
        "eval_tokens/response_length": sum(e.actions for e in episodes) / count,
    }


def sample(episode: Episode, chat: ChatFormat) -> dict[str, Any]:
    return {
        "prompt": readable(episode.example.row),
        "response": chat.decode(episode.example.responses[0]),
        "score": round(episode.score, 4),
        "kl": round(episode.drift, 4),
        "ended": episode.ended,
    }


def save_values(module: PolicyAndValue, tokenizer: Any, path: Path) -> None:
    if module.value is not None:
        models.save(module.value.model, tokenizer, path / "value")
    else:
        torch.save(module.head.state_dict(), path / "value_head.pt")


def load_values(module: PolicyAndValue, path: Path) -> None:
    if module.value is not None:
        models.load_weights(module.value.model, path / "value")
    else:
        module.head.load_state_dict(torch.load(path / "value_head.pt", weights_only=True))
