"""When people's judgement is enough to promote a model."""

from app.quality.rules.words import percent


def bound_to_pass(demand: str, *, threshold: float, margin: float) -> float:
    """What the lower bound of the win rate must be above."""
    return {"better": 0.5, "by_more": threshold, "not_worse": 0.5 - margin}[demand]


def passes(low: float, *, demand: str, threshold: float, margin: float) -> bool:
    """Whether it does; to be better than ½ is decided at ½ itself, as the stopping rule does."""
    bound = bound_to_pass(demand, threshold=threshold, margin=margin)
    return low >= bound if bound == 0.5 else low > bound


def in_words(demand: str, *, threshold: float, margin: float) -> str:
    return {
        "better": "A model is promoted only if people surely prefer it to the promoted one.",
        "by_more": "A model is promoted only if people surely prefer it to the promoted one in "
        f"more than {percent(threshold)} of prompts.",
        "not_worse": "A model is promoted if it is surely not worse than the promoted one by more "
        f"than {percent(margin)} of prompts.",
    }[demand]


def because(low: float, high: float, *, demand: str, threshold: float, margin: float) -> str:
    """Why a win rate between these bounds passes, or does not."""
    bound = bound_to_pass(demand, threshold=threshold, margin=margin)
    between = f"The win rate lies between {percent(low)} and {percent(high)}"
    if passes(low, demand=demand, threshold=threshold, margin=margin):
        return f"{between}, all of it above {percent(bound)}."
    return f"{between}; the rule wants all of it above {percent(bound)}."
