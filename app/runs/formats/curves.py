"""Which curves matter for each kind, most first, and the question each answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Chart:
    """`curves`: metric → name in the legend; those of the test split begin with `eval_`.

    `percent` shows shares; `whole` shows them from 0 to 100 %.
    """

    title: str
    note: str
    curves: dict[str, str]
    percent: bool = False
    line: float | None = None  # where a dotted line helps, such as chance
    whole: bool = True

    def as_json(self) -> dict[str, Any]:
        """Curves as a list: templates write the keys of an object in order of the alphabet."""
        return asdict(self) | {"curves": list(self.curves.items())}


LOSS = Chart(
    "Is it learning?",
    "The loss on what it trains on, and on comparisons or texts it has not seen. When the second "
    "rises while the first falls, it learns by heart.",
    {"loss": "training", "eval_loss": "unseen"},
)

TRICKS = Chart(
    "Does it fall into tricks?",
    "Share of refusals, of what a response says twice, and of different phrases over all of them. "
    "When variety falls or the others rise, read its texts.",
    {
        "monitor/distinct": "variety",
        "monitor/repetition": "repetition",
        "monitor/refusals": "refusals",
    },
    percent=True,
)

CURVES: dict[str, list[Chart]] = {
    "sft": [
        LOSS,
        Chart(
            "How often does it guess the next word?",
            "Share of the tokens of the responses that it would have written itself.",
            {"mean_token_accuracy": "training", "eval_mean_token_accuracy": "unseen"},
            percent=True,
        ),
    ],
    "reward": [
        Chart(
            "Does it agree with people?",
            "Share of comparisons in which the response people preferred gets the higher score. "
            "Dotted: chance.",
            {"accuracy": "training", "eval_accuracy": "unseen"},
            percent=True,
            line=0.5,
        ),
        LOSS,
        Chart(
            "How clearly does it tell them apart?",
            "Mean difference between the scores of the better and the worse response.",
            {"margin": "training", "eval_margin": "unseen"},
            line=0.0,
        ),
    ],
    "dpo": [
        Chart(
            "Does it come to prefer what people preferred?",
            "Share of comparisons in which it has moved towards the chosen response more than "
            "towards the rejected one. Dotted: chance.",
            {"rewards/accuracies": "training", "eval_rewards/accuracies": "unseen"},
            percent=True,
            line=0.5,
        ),
        Chart(
            "How far apart are the two?",
            "Implicit rewards: how much likelier than at the start it finds each response.",
            {
                "rewards/chosen": "chosen",
                "rewards/rejected": "rejected",
                "rewards/margins": "difference",
            },
            line=0.0,
        ),
        LOSS,
        Chart(
            "Does it still find good responses likely?",
            "Log-probability of whole responses. When both fall far, it forgets how to write.",
            {"logps/chosen": "chosen", "logps/rejected": "rejected"},
        ),
        TRICKS,
    ],
    "ppo": [
        Chart(
            "Do the scores rise?",
            "What the reward model gives its responses, and what the policy learns from: that, "
            "normalised, less the price of moving.",
            {
                "objective/scores": "score",
                "objective/rlhf_reward": "learned from",
                "monitor/watched_score": "a model that only watches",
            },
        ),
        Chart(
            "How far has it moved from where it began?",
            "KL per response, in nats. Scores that rise only while this runs away are not trusted.",
            {"objective/kl": "KL"},
            line=0.0,
        ),
        Chart(
            "How long are its responses?",
            "In tokens. A reward model that likes length makes them grow.",
            {"tokens/response_length": "tokens"},
        ),
        TRICKS,
        Chart(
            "Does it keep its variety?",
            "Entropy; when it falls to nothing, every response is the same.",
            {"objective/entropy": "entropy"},
        ),
        Chart(
            "Are its steps small enough?",
            "Share of tokens at which the update was clipped.",
            {"policy/clipfrac_avg": "clipped"},
            percent=True,
            whole=False,
        ),
        Chart(
            "Does it foresee its scores?",
            "Loss of the value model.",
            {"loss/value_avg": "value loss"},
        ),
    ],
}


def charts_of(kind: str, config: Mapping[str, Any]) -> list[Chart]:
    """The curves that a run has; without a value model there is nothing to foresee."""
    values = config.get("algorithm", "ppo") == "ppo"
    return [c for c in CURVES[kind] if values or "loss/value_avg" not in c.curves]


MORE = [
    Chart("Learning rate", "As the schedule has it.", {"learning_rate": "learning rate"}),
    Chart(
        "Norm of the gradient", "Before clipping; spikes mean odd rows.", {"grad_norm": "gradient"}
    ),
    Chart("Speed", "Tokens per second.", {"tokens_per_second": "tokens per second"}),
]
