"""Settings of PPO and of its relatives without a value model, RLOO and GRPO."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.run_config.fields import setting
from app.run_config.monitors import MonitorSettings
from app.run_config.settings import RunConfig


@dataclass(frozen=True, kw_only=True)
class PpoConfig(MonitorSettings, RunConfig):
    """Proximal policy optimisation against a reward model; RLOO and GRPO by `algorithm`."""

    algorithm: str = setting(
        "ppo",
        "ppo: advantages from a value model; rloo: from the other responses to the prompt "
        "(leave-one-out); grpo: from the mean of its group. The last two need no value model.",
        choices=("ppo", "rloo", "grpo"),
    )
    num_generations: int | None = setting(
        None,
        "Responses to each prompt of a batch; empty: 1 for ppo, 4 for rloo and grpo.",
        at_least=1,
        group="rollout",
    )

    learning_rate: float = setting(3e-6, "Peak learning rate of AdamW.", above=0)
    per_device_train_batch_size: int = setting(
        16, "Episodes per process in one accumulation step.", at_least=1
    )
    reward_model_path: str | None = setting(
        None,
        "Folder or hub id of the reward model or of an ensemble; several, separated by commas, "
        "are an ensemble too.",
        group="reward",
    )
    reward_aggregation: str = setting(
        "mean",
        "One score from an ensemble: mean; worst = the lowest; lower_bound = mean - "
        "reward_uncertainty_coef · deviation.",
        choices=("mean", "worst", "lower_bound"),
        group="reward",
    )
    reward_uncertainty_coef: float = setting(
        1.0, "Price of a deviation between members, for lower_bound.", at_least=0, group="reward"
    )
    reward_hold_out: bool = setting(
        False,
        "Keep the ensemble's last member out of the reward and watch it instead.",
        group="reward",
    )
    reward_function: str | None = setting(
        None,
        "A Python function as package.module:function instead of a reward model; it gets prompts "
        "(lists of messages) and responses (texts) and returns a number for each. It runs with "
        "all your rights: name only code that you trust. Only on the command line.",
        group="reward",
        local=True,
    )
    value_model: str = setting(
        "separate",
        "ppo: separate = a model of its own, started as the reward model; shared = a head on the "
        "policy.",
        choices=("separate", "shared"),
    )
    response_length: int = setting(53, "Most tokens of a response.", at_least=1, group="rollout")
    temperature: float = setting(
        0.7, "Sampling temperature; logps use it too.", above=0, group="rollout"
    )
    num_ppo_epochs: int = setting(4, "Passes over each batch of episodes.", at_least=1)
    num_mini_batches: int = setting(1, "Optimiser steps per pass over the episodes.", at_least=1)
    total_episodes: int | None = setting(
        None, "Episodes in all; used instead of num_train_epochs.", at_least=1
    )
    kl_coef: float = setting(
        0.05, "Price of one nat of KL in the reward.", at_least=0, group="reward"
    )
    kl_estimator: str = setting(
        "k1",
        "KL in the reward: k1 = log ratio (unbiased); k3 = ratio - 1 - log ratio (never negative).",
        choices=("k1", "k3"),
        group="reward",
    )
    kl_target: float | None = setting(
        None,
        "Adapt kl_coef towards this KL per sequence; empty keeps it fixed.",
        above=0,
        group="reward",
    )
    kl_horizon: int = setting(
        10000, "Episodes in which kl_coef adapts.", at_least=1, group="reward", advanced=True
    )
    kl_budget: float | None = setting(
        None,
        "Stop when responses are on average this many nats away from the reference, and keep the "
        "last weights within it; empty never stops.",
        above=0,
        group="reward",
    )
    score_normalization: str = setting(
        "none",
        "none; reference: mean 0, deviation 1 on the reference's first responses; model: figures "
        "stored with the reward model.",
        choices=("none", "reference", "model"),
        group="reward",
    )
    score_clip: float = setting(
        0.0, "Clip scores to ± this; 0 does not clip.", at_least=0, group="reward"
    )
    missing_eos_penalty: float | None = setting(
        None, "Taken off the score of a response that never ends.", at_least=0, group="reward"
    )
    reward_position: str = setting(
        "eos",
        "ppo: where the score is paid; eos = the last action, trl = one step later, as TRL does.",
        choices=("eos", "trl"),
        group="reward",
        advanced=True,
    )
    reuse_first_pass: bool = setting(
        True,
        "With one optimiser step per epoch the first learns from the pass that measured the "
        "episodes, where they fit into two forward passes (of several processes: one each), whose "
        "activations are kept; off reads them once more.",
        group="memory",
        advanced=True,
    )
    recorded_generation: bool = setting(
        True,
        "On a GPU, record the step that writes a token once, as a CUDA graph, and play it back; "
        "off has Python start each of its parts.",
        group="memory",
        advanced=True,
    )
    whiten_rewards: bool = setting(
        False, "ppo: scale rewards to deviation 1.", group="reward", advanced=True
    )
    whiten_advantages: bool = setting(
        True, "ppo: shift and scale advantages to mean 0, deviation 1.", advanced=True
    )
    scale_rewards: str = setting(
        "group",
        "grpo: divide advantages by the deviation of their group, of the batch, or by none "
        "(Dr. GRPO).",
        choices=("group", "batch", "none"),
        advanced=True,
    )
    loss_type: str = setting(
        "dapo",
        "grpo: dapo = every token counts the same; grpo = every response; dr_grpo = every token, "
        "over response_length, so that no length is favoured.",
        choices=("dapo", "grpo", "dr_grpo"),
        advanced=True,
    )
    kl_in_loss: bool = setting(
        True,
        "grpo: KL (k3) is a term of the loss, per token; off takes it off the reward, summed, as "
        "ppo and rloo do.",
        advanced=True,
    )
    cliprange: float = setting(0.2, "Clip range of the policy ratio.", above=0)
    cliprange_value: float = setting(0.2, "ppo: clip range of the value.", above=0)
    vf_coef: float = setting(0.1, "ppo: weight of the value loss.", at_least=0)
    gamma: float = setting(1.0, "ppo: discount.", above=0, at_most=1)
    lam: float = setting(0.95, "ppo: λ of generalised advantage estimation.", at_least=0, at_most=1)
    generation_batch_size: int = setting(
        64, "Responses generated at once.", at_least=1, group="memory"
    )

    @property
    def group(self) -> int:
        """Responses to each prompt of a batch."""
        return self.num_generations or (1 if self.algorithm == "ppo" else 4)

    @property
    def priced_in_reward(self) -> bool:
        """Whether KL is taken off the reward; else it is a term of the loss."""
        return self.algorithm != "grpo" or not self.kl_in_loss


# Settings that mean something to one algorithm alone.
OWN = {
    "ppo": (
        "value_model", "reward_position", "whiten_rewards", "whiten_advantages",
        "cliprange_value", "vf_coef", "gamma", "lam",
    ),
    "grpo": ("scale_rewards", "loss_type", "kl_in_loss"),
}  # fmt: skip


def contradictions(config: PpoConfig) -> Iterator[tuple[str, str]]:
    """Settings that are each fine but not together: (setting, what is wrong)."""
    plain = PpoConfig()
    for algorithm, names in OWN.items():
        for name in names:
            if config.algorithm != algorithm and getattr(config, name) != getattr(plain, name):
                yield (
                    name,
                    f"belongs to algorithm={algorithm}; {config.algorithm} has no use for it.",
                )
    own = config.per_device_train_batch_size * config.gradient_accumulation_steps
    episodes = (
        f"{own} episodes of a batch (per_device_train_batch_size × gradient_accumulation_steps)"
    )
    if own % config.num_mini_batches:
        yield "num_mini_batches", f"must divide the {episodes}."
    if own % config.group:
        yield "num_generations", f"{config.group} must divide the {episodes}."
    if config.algorithm != "ppo" and config.group < 2:
        yield (
            "num_generations",
            f"{config.algorithm} compares the responses to a prompt: at least 2.",
        )
    if config.response_length >= config.max_length:
        yield "response_length", "must leave room for the prompt within max_length."
    if config.reward_function and config.reward_model_path:
        yield "reward_function", "takes the place of reward_model_path: name only one of them."
    if config.reward_function and config.reward_hold_out:
        yield "reward_hold_out", "keeps back one member of an ensemble; a function has none."
    if config.kl_target and not config.kl_coef:
        yield "kl_target", "multiplies kl_coef, which stays 0 from 0: begin with some, e.g. 0.05."
    if config.reward_function and config.score_normalization == "model":
        yield "score_normalization", "a function stores no figures: choose reference or none."
