"""Settings of every kind, and those of SFT, reward models and DPO: default, help and limits."""

from dataclasses import dataclass

from app.run_config.fields import setting
from app.run_config.monitors import MonitorSettings


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
    seed: int = setting(
        42, "Seed of data order, new heads and sampling.", at_least=0, at_most=2**32 - 1
    )
    bf16: bool = setting(False, "Compute in bfloat16 over 32-bit weights.")
    lora_r: int = setting(
        0, "Rank of LoRA adapters; 0 trains all weights.", at_least=0, at_most=16384, group="lora"
    )
    lora_alpha: int = setting(16, "Scale of the adapters (alpha / r).", at_least=1, group="lora")
    lora_dropout: float = setting(
        0.0, "Dropout inside the adapters.", at_least=0, at_most=0.9, group="lora"
    )
    lora_target_modules: tuple[str, ...] = setting(
        (), "Modules that get an adapter; empty means every linear layer.", group="lora"
    )
    load_in_4bit: bool = setting(
        False,
        "Keep the frozen weights in 4 bits under the adapters (QLoRA); needs lora_r and the "
        "package bitsandbytes.",
        group="lora",
    )
    dataset_config: str | None = setting(
        None, "Folder of the dataset to read; empty chooses by kind.", group="data"
    )
    bad_rows: str = setting(
        "drop",
        "Rows that cannot be used, such as one with an empty response: drop (counted and reported) "
        "or stop. truncate cuts the end off responses that are too long and drops the rest.",
        choices=("drop", "stop", "truncate"),
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
    report_to: str = setting(
        "none",
        "Write the figures to a tracker too; its package must be installed. The run folder has "
        "them always.",
        choices=("none", "tensorboard", "wandb", "trackio", "mlflow"),
        group="output",
    )
    num_samples: int = setting(
        4, "Texts written for people to read at each evaluation.", at_least=0, group="output"
    )
    per_device_eval_batch_size: int = setting(
        8,
        "Known for the sake of TRL's configs; evaluation fills passes up to "
        "max_tokens_per_forward instead.",
        at_least=1,
        group="memory",
        advanced=True,
    )
    max_tokens_per_forward: int = setting(
        0,
        "Tokens in one forward pass; lower it when memory is short, results stay the same. "
        "0 = 1024 on a CPU (and for a model that keeps all scores of attention), on a GPU what "
        "fits in half its memory.",
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
        "In the last layer of a pack, compute only the tokens whose output is read.",
        group="memory",
        advanced=True,
    )
    deterministic: bool = setting(
        True,
        "On a GPU, add up gradients in the same order every time, so that a run that goes on can "
        "repeat what an unbroken one says. Off is some percent faster.",
        group="memory",
        advanced=True,
    )
    fused_norms: bool = setting(
        True,
        "On a GPU, compute a root mean square norm at once, not in the eight steps of the model.",
        group="memory",
        advanced=True,
    )
    torch_compile: bool = setting(
        False,
        "Compile norms and feed-forward parts of what is trained: a wait at the start, for long "
        "runs on a GPU. On a CPU nothing is gained.",
        group="memory",
        advanced=True,
    )
    attn_implementation: str = setting(
        "auto",
        "Attention inside a pack: auto leaves out what its mask hides (example by example; on a "
        "GPU in 16 bit by FlashAttention), and so does flex_attention, which a GPU compiles for "
        "half a minute; sdpa computes all of it.",
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
    objectives: tuple[str, ...] = setting(
        (),
        "Criteria of the `ratings` data that get an output of their own beside the preference; "
        "`all` means every one.",
        group="judging",
    )
    ratings_coef: float = setting(
        1.0,
        "Weight of the squared error of the ratings beside the preference loss.",
        at_least=0,
        group="judging",
    )
    score_weights: tuple[str, ...] = setting(
        (),
        "What the score is made of, such as preference=1, honest=0.5 (a criterion counts in its "
        "standard deviations); empty means the preference alone.",
        group="judging",
    )
    ensemble_size: int = setting(
        1,
        "Reward models trained side by side on the same rows in the same order, each from a head "
        "of its own; where they disagree the score is not to be trusted.",
        at_least=1,
        at_most=16,
        group="judging",
    )
    ensemble_bootstrap: bool = setting(
        False,
        "Each member counts each row 0, 1, 2 … times at random, so that they differ more.",
        group="judging",
    )
    familiarity_samples: int = setting(
        512,
        "Tasks whose features are summed up and stored with the model, so that PPO notices "
        "responses unlike any it was trained on; 0 stores none.",
        at_least=0,
        group="output",
        advanced=True,
    )


@dataclass(frozen=True, kw_only=True)
class DpoConfig(MonitorSettings, RunConfig):
    """Direct preference optimisation, and KTO on unpaired rows."""

    learning_rate: float = setting(1e-6, "Peak learning rate of AdamW.", above=0)
    beta: float = setting(0.1, "How strongly the policy is held to the reference.", above=0)
    loss_type: str = setting(
        "sigmoid",
        "sigmoid (with label_smoothing: cDPO), sigmoid_norm (per token), robust, hinge, ipo (per "
        "token, as TRL), ipo_sum (summed), apo_zero; simpo and orpo need no reference; kto reads "
        "unpaired rows.",
        choices=(
            "sigmoid", "sigmoid_norm", "robust", "hinge", "ipo", "ipo_sum", "apo_zero", "simpo",
            "orpo", "kto",
        ),
    )  # fmt: skip
    label_smoothing: float = setting(
        0.0,
        "Assumed share of flipped labels, below one half; for sigmoid, sigmoid_norm and robust.",
        at_least=0,
        at_most=0.499,
    )
    simpo_gamma: float = setting(
        0.5, "SimPO: margin that the chosen response is to win by.", at_least=0, advanced=True
    )
    soft_labels: bool = setting(
        False,
        "Use `p`, the share of votes for chosen, where rows have it: the pair counts p times as "
        "it stands and 1 - p times turned round.",
        group="data",
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
