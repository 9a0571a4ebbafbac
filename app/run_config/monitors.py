"""What is watched while a policy learns to please a judge, and when that is too much."""

from dataclasses import dataclass

from app.run_config.fields import setting

REFUSALS = (
    "i'm sorry", "i am sorry", "i apologize", "i can't", "i cannot", "i won't", "i will not",
    "i'm not able to", "i am not able to", "i'm unable to", "i am unable to", "as an ai",
    "as a language model",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """Signs that the judge is being pleased rather than people; of PPO and DPO."""

    monitor_action: str = setting(
        "warn",
        "When a monitor is beyond its limit: warn; stop and keep the last weights within limits; "
        "send responses of the start and of now to people (for_people.jsonl). off watches nothing.",
        choices=("warn", "stop", "send", "off"),
        group="monitors",
    )
    monitor_patience: int = setting(
        2,
        "Observations in a row beyond a limit before it counts; one has at least 16 responses, "
        "smaller batches are put together.",
        at_least=1,
        group="monitors",
    )
    monitor_prompts: int = setting(
        16,
        "Prompts that DPO answers to be watched at each evaluation (fewer than 16 are asked "
        "several times), and most that go to people.",
        at_least=1,
        group="monitors",
    )
    monitor_reward_model_path: str | None = setting(
        None,
        "A reward model that is only watched, never trained on: scores that rise while its scores "
        "fall are not trusted.",
        group="monitors",
    )
    monitor_max_gold_drop: float | None = setting(
        0.5,
        "How far the watched model's score may fall below its best, in deviations at the start, "
        "while the trained score rises; empty does not look.",
        above=0,
        group="monitors",
    )
    monitor_max_length_drift: float | None = setting(
        1.0,
        "How far the mean length may move, in deviations of the lengths at the start; empty does "
        "not look.",
        above=0,
        group="monitors",
    )
    monitor_max_repetition: float | None = setting(
        0.25,
        "How far the share of repeated groups of three tokens may rise; empty does not look.",
        above=0,
        at_most=1,
        group="monitors",
    )
    monitor_max_sameness: float | None = setting(
        0.5,
        "Share of the variety at the start (different groups of three tokens over all responses) "
        "that may be lost; empty does not look.",
        above=0,
        at_most=1,
        group="monitors",
    )
    monitor_max_refusals: float | None = setting(
        0.2,
        "How far the share of refusals may rise; empty does not look.",
        above=0,
        at_most=1,
        group="monitors",
    )
    monitor_max_disagreement: float | None = setting(
        2.0,
        "How many times the ensemble's disagreement at the start is too much; empty does not look.",
        above=1,
        group="monitors",
    )
    monitor_max_distance: float | None = setting(
        3.0,
        "How many times as far from the reward model's training data as unseen responses of that "
        "data is too far; empty does not look.",
        above=1,
        group="monitors",
    )
    monitor_refusals: tuple[str, ...] = setting(
        REFUSALS,
        "What a refusal says in its first words; case does not matter.",
        group="monitors",
        advanced=True,
    )
