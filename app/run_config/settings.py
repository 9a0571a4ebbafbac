"""Every setting of each kind: its default, help text and limits; one frozen dataclass a kind."""

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["sft", "reward", "dpo", "ppo"]
KINDS: tuple[Kind, ...] = ("sft", "reward", "dpo", "ppo")


def setting(
    default: Any,
    help: str,  # noqa: A002 - the word people look for
    *,
    group: str = "training",
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    advanced: bool = False,
) -> Any:
    """One setting: its default, its help text and its limits."""
    metadata = {
        "help": help,
        "group": group,
        "choices": choices,
        "at_least": at_least,
        "at_most": at_most,
        "above": above,
        "advanced": advanced,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every kind of training can be told."""

    learning_rate: float = setting(2e-5, "Peak learning rate of AdamW.", above=0)
    per_device_train_batch_size: int = setting(
        8, "Examples (for PPO: episodes) per process in one accumulation step.", at_least=1
    )
    gradient_accumulation_steps: int = setting(
        1,
        "Accumulation steps per update; the sum is weighted by global counts, 4 × 8 equals 1 × 32.",
        at_least=1,
    )
    num_train_epochs: float = setting(1.0, "Passes over the training split.", above=0)
    max_steps: int = setting(-1, "Updates to make; -1 follows num_train_epochs.", at_least=-1)
    max_length: int = setting(
        1024, "Longest sequence in tokens; longer rows follow bad_rows.", at_least=8
    )
    seed: int = setting(42, "Seed of data order, new heads and sampling.", at_least=0)
    bf16: bool = setting(False, "Compute in bfloat16 over 32-bit weights.")
    lora_r: int = setting(
        0, "Rank of LoRA adapters; 0 trains all weights.", at_least=0, group="lora"
    )
    lora_alpha: int = setting(16, "Scale of the adapters (alpha / r).", at_least=1, group="lora")
    lora_dropout: float = setting(
        0.0, "Dropout inside the adapters.", at_least=0, at_most=0.9, group="lora"
    )
    lora_target_modules: tuple[str, ...] = setting(
        (), "Modules that get an adapter; empty means every linear layer.", group="lora"
    )
    dataset_config: str | None = setting(
        None, "Folder of the dataset to read; empty chooses by kind.", group="data"
    )
    bad_rows: str = setting(
        "drop",
        "Rows that are too long or have an empty response: drop (counted and reported) or stop.",
        choices=("drop", "stop"),
        group="data",
    )
    shuffle: bool = setting(True, "Shuffle the training rows anew each epoch.", group="data")
    group_by_length: bool = setting(
        True, "Put rows of similar length into one batch (only when shuffling).", group="data"
    )
    lr_scheduler_type: str = setting(
        "linear",
        "How the learning rate runs out.",
        choices=("linear", "cosine", "constant", "constant_with_warmup"),
        group="optimiser",
    )
    warmup_steps: int = setting(
        0, "Updates in which the learning rate rises.", at_least=0, group="optimiser"
    )
    warmup_ratio: float = setting(
        0.0,
        "Share of the updates in which the learning rate rises, when warmup_steps is 0.",
        at_least=0,
        at_most=1,
        group="optimiser",
    )
    weight_decay: float = setting(0.0, "AdamW's weight decay.", at_least=0, group="optimiser")
    adam_beta1: float = setting(
        0.9, "AdamW's first decay.", at_least=0, at_most=0.99999, group="optimiser", advanced=True
    )
    adam_beta2: float = setting(
        0.999,
        "AdamW's second decay.",
        at_least=0,
        at_most=0.9999999,
        group="optimiser",
        advanced=True,
    )
    adam_epsilon: float = setting(
        1e-8, "AdamW's epsilon.", above=0, group="optimiser", advanced=True
    )
    max_grad_norm: float = setting(
        1.0, "Clip the gradient to this norm; 0 does not clip.", at_least=0, group="optimiser"
    )
    logging_steps: int = setting(1, "Log every so many updates.", at_least=1, group="output")
    eval_steps: int = setting(
        0,
        "Evaluate and write samples every so many updates; 0 = five times per run. The end always.",
        at_least=0,
        group="output",
    )
    save_steps: int = setting(
        0, "Checkpoint every so many updates; 0 means only at the end.", at_least=0, group="output"
    )
    save_total_limit: int = setting(
        2, "Checkpoints to keep; 0 keeps all.", at_least=0, group="output"
    )
    max_eval_samples: int = setting(
        512, "Test rows used in an evaluation; 0 uses all.", at_least=0, group="output"
    )
    num_samples: int = setting(
        4, "Texts written for people to read at each evaluation.", at_least=0, group="output"
    )
    per_device_eval_batch_size: int = setting(
        8, "Examples per process in evaluation.", at_least=1, group="memory"
    )
    max_tokens_per_forward: int = setting(
        0,
        "Tokens in one forward pass; lower it when memory is short, results stay the same. "
        "0 = 1024 on a CPU, 8192 on a GPU.",
        at_least=0,
        group="memory",
    )
    gradient_checkpointing: bool = setting(
        False, "Recompute activations: less memory, slower.", group="memory"
    )
    packing: bool = setting(
        True,
        "Pack rows without padding; off pads each row instead.",
        group="memory",
        advanced=True,
    )
    share_prompt: bool = setting(
        True,
        "Encode a prompt once for all its responses in a pack; off repeats it before each.",
        group="memory",
        advanced=True,
    )
    sparse_last_layer: bool = setting(
        True,
        "In the last layer of a pack, feed forward only the tokens whose output is read.",
        group="memory",
        advanced=True,
    )
    attn_implementation: str = setting(
        "auto",
        "Attention inside a pack: auto leaves out what its mask hides (example by example on a "
        "CPU, flex_attention on a GPU); sdpa computes all of it.",
        choices=("auto", "sdpa", "flex_attention"),
        group="memory",
        advanced=True,
    )


@dataclass(frozen=True, kw_only=True)
class SftConfig(RunConfig):
    """Supervised fine-tuning; the loss is on assistant tokens only."""

    learning_rate: float = setting(2e-5, "Peak learning rate of AdamW.", above=0)
    max_new_tokens: int = setting(
        64, "Length of the greedy continuations shown as samples.", at_least=1, group="output"
    )


@dataclass(frozen=True, kw_only=True)
class RewardConfig(RunConfig):
    """Reward model: Bradley–Terry on pairs, K-wise or Plackett–Luce on rankings."""

    learning_rate: float = setting(1e-4, "Peak learning rate of AdamW.", above=0)
    center_rewards_coefficient: float = setting(
        0.0, "Weight of (score + score)², which keeps scores near 0; 0.01 is usual.", at_least=0
    )
    ranking_loss: str = setting(
        "pairwise",
        "How a ranking of K responses counts: every pair, or Plackett–Luce.",
        choices=("pairwise", "plackett_luce"),
    )
    ranking_ties: str = setting(
        "half", "Tied responses: aim at one half, or leave the pair out.", choices=("half", "drop")
    )
    soft_labels: bool = setting(
        True,
        "Use `p`, the share of votes for chosen, where rows have it; off takes 1.",
        group="data",
    )
    use_margin: bool = setting(True, "Use `margin` where rows have it.", group="data")
    use_weights: bool = setting(True, "Use `weight` where rows have it.", group="data")


@dataclass(frozen=True, kw_only=True)
class DpoConfig(RunConfig):
    """Direct preference optimisation, and KTO on unpaired rows."""

    learning_rate: float = setting(1e-6, "Peak learning rate of AdamW.", above=0)
    beta: float = setting(0.1, "How strongly the policy is held to the reference.", above=0)
    loss_type: str = setting(
        "sigmoid",
        "sigmoid (with label_smoothing: cDPO), robust, ipo (per token, as TRL), ipo_sum (summed), "
        "or kto on unpaired rows.",
        choices=("sigmoid", "robust", "ipo", "ipo_sum", "kto"),
    )
    label_smoothing: float = setting(
        0.0, "Assumed share of flipped labels.", at_least=0, at_most=0.499
    )
    desirable_weight: float = setting(1.0, "KTO: weight of good responses.", at_least=0)
    undesirable_weight: float = setting(1.0, "KTO: weight of bad responses.", at_least=0)
    use_weights: bool = setting(True, "Use `weight` where rows have it.", group="data")
    max_new_tokens: int = setting(
        64, "Length of the responses shown as samples.", at_least=1, group="output"
    )
    temperature: float = setting(
        0.7, "Sampling temperature of the shown samples.", at_least=0, group="output"
    )


@dataclass(frozen=True, kw_only=True)
class PpoConfig(RunConfig):
    """Proximal policy optimisation against a reward model."""

    learning_rate: float = setting(3e-6, "Peak learning rate of AdamW.", above=0)
    per_device_train_batch_size: int = setting(
        16, "Episodes per process in one accumulation step.", at_least=1
    )
    reward_model_path: str | None = setting(
        None, "Folder or hub id of the reward model.", group="reward"
    )
    value_model: str = setting(
        "separate",
        "separate: a model of its own, started as the reward model; shared: a head on the policy.",
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
        "k1 = log ratio (unbiased); k3 = ratio - 1 - log ratio (never negative).",
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
        "Where the score is paid: eos = the last action; trl = one step later, as TRL does.",
        choices=("eos", "trl"),
        group="reward",
        advanced=True,
    )
    whiten_rewards: bool = setting(
        False, "Scale rewards to deviation 1.", group="reward", advanced=True
    )
    whiten_advantages: bool = setting(
        True, "Shift and scale advantages to mean 0, deviation 1.", advanced=True
    )
    cliprange: float = setting(0.2, "Clip range of the policy ratio.", above=0)
    cliprange_value: float = setting(0.2, "Clip range of the value.", above=0)
    vf_coef: float = setting(0.1, "Weight of the value loss.", at_least=0)
    gamma: float = setting(1.0, "Discount.", above=0, at_most=1)
    lam: float = setting(0.95, "λ of generalised advantage estimation.", at_least=0, at_most=1)
    generation_batch_size: int = setting(
        64, "Responses generated at once.", at_least=1, group="memory"
    )


CLASSES: dict[str, type[RunConfig]] = {
    "sft": SftConfig,
    "reward": RewardConfig,
    "dpo": DpoConfig,
    "ppo": PpoConfig,
}

# A model that starts from nothing learns at other rates than one that has seen the world.
FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "sft": {"learning_rate": 1e-3, "num_train_epochs": 3.0},
    "reward": {"learning_rate": 5e-4, "num_train_epochs": 3.0},
    "dpo": {"learning_rate": 5e-5},
    "ppo": {"learning_rate": 1e-4, "response_length": 48, "score_normalization": "reference"},
}
