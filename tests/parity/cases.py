"""What is compared: one training each, by its settings here and there."""

from dataclasses import dataclass, field
from typing import Any

from tests.parity.world import BATCH, STEPS

SMOOTHING = 0.15

COMMON = {
    "learning_rate": 1e-3,
    "per_device_train_batch_size": BATCH,
    "max_steps": STEPS,
    "max_length": 512,
    "max_grad_norm": 0,
    "shuffle": False,
    "num_samples": 0,
    "eval_steps": STEPS,
}
COMMON_THEIRS = {
    "learning_rate": 1e-3,
    "per_device_train_batch_size": BATCH,
    "max_steps": STEPS,
    "max_length": 512,
    "max_grad_norm": 0,
    "train_sampling_strategy": "sequential",
    "lr_scheduler_type": "linear",
    "gradient_checkpointing": False,
    "bf16": False,
    "use_cpu": True,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": [],
    "disable_tqdm": True,
}


@dataclass(frozen=True)
class Case:
    """One training: `trainer` is TRL's, `start` the model folder of the world."""

    name: str
    kind: str
    trainer: str
    config: str
    start: str = "model"
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)


def dpo(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Case:
    theirs = {"precompute_ref_log_probs": True} | theirs
    ours = {"monitor_action": "off"} | ours  # it would write samples, and change nothing
    return Case(f"DPO {name}", "dpo", "DPO", "preference", ours=ours, theirs=theirs)


CASES = (
    Case("SFT", "sft", "SFT", "sft", theirs={"assistant_only_loss": True}),
    Case(
        "reward", "reward", "Reward", "preference", "judge",
        ours={"use_margin": False}, theirs={"drop": ["margin"]},
    ),
    Case(
        "reward margin centred", "reward", "Reward", "preference", "judge",
        ours={"center_rewards_coefficient": 0.01}, theirs={"center_rewards_coefficient": 0.01},
    ),
    dpo("sigmoid", {}, {"loss_type": ["sigmoid"]}),
    # TRL ignores label_smoothing with sigmoid. cDPO = 2 (1 - e) sigmoid - (1 - 2 e) robust.
    dpo(
        "cDPO",
        {"label_smoothing": SMOOTHING},
        {
            "loss_type": ["sigmoid", "robust"],
            "loss_weights": [2 * (1 - SMOOTHING), 2 * SMOOTHING - 1],
            "label_smoothing": SMOOTHING,
        },
    ),
    dpo(
        "robust",
        {"loss_type": "robust", "label_smoothing": SMOOTHING},
        {"loss_type": ["robust"], "label_smoothing": SMOOTHING},
    ),
    dpo("ipo", {"loss_type": "ipo"}, {"loss_type": ["ipo"]}),
    dpo("sigmoid_norm", {"loss_type": "sigmoid_norm"}, {"loss_type": ["sigmoid_norm"]}),
    dpo("hinge", {"loss_type": "hinge"}, {"loss_type": ["hinge"]}),
    dpo("apo_zero", {"loss_type": "apo_zero"}, {"loss_type": ["apo_zero"]}),
    Case(
        "SimPO", "dpo", "CPO", "preference",
        ours={"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0},
        theirs={"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0},
    ),
    Case("KTO", "dpo", "KTO", "unpaired", ours={"loss_type": "kto"}),
)  # fmt: skip

PPO = {
    "learning_rate": 1e-3,
    "per_device_train_batch_size": 8,
    "num_ppo_epochs": 3,
    "response_length": 24,
    "temperature": 0.7,
    "kl_coef": 0.05,
    "missing_eos_penalty": 1.0,
}
PPO_UPDATES = 20
PPO_OURS = PPO | {
    "max_steps": PPO_UPDATES,
    "reward_position": "trl",
    "shuffle": False,
    "max_grad_norm": 0,
    "num_samples": 0,
}
PPO_THEIRS = PPO | {
    "total_episodes": 8 * PPO_UPDATES,
    "stop_token": "eos",
    "num_mini_batches": 1,
    "num_sample_generations": 0,
    "local_rollout_forward_batch_size": 8,
    "gradient_checkpointing": False,
    "bf16": False,
    "use_cpu": True,
    "save_strategy": "no",
    "report_to": [],
    "disable_tqdm": True,
}
PPO_FIGURES = (  # not objective/scores: TRL's has the penalty in it, rlhf_reward has on both sides
    "objective/kl",
    "objective/entropy",
    "objective/non_score_reward",
    "objective/rlhf_reward",
    "loss/policy_avg",
    "loss/value_avg",
    "policy/clipfrac_avg",
    "val/clipfrac_avg",
    "val/num_eos_tokens",
)
