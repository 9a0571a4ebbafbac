"""Rules of the playground: what an answer may become, and what its figures mean."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

PERSON = "person"  # the source of a reply that somebody typed
TYPED = "Typed reply"  # its name, which does not tell whose it is
MOST_MODELS = 2  # that answer one turn
MOST_JUDGES = 4  # reward models that score its answers
TITLE = 80  # characters
NEXT_TURN = "\n\nHuman:"  # where a model without a chat template would go on by itself

LOST = "The worker was lost while it wrote. Answer again to have it written anew."
STOPPED = "The worker was stopped before it was done. Answer again to have it written anew."


def title_of(message: str) -> str:
    """The beginning of the first message, in one line."""
    line = " ".join(message.split())
    return line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…"


def spoken(tokens: Sequence[Mapping[str, Any]]) -> str:
    """A reply exactly as its model wrote it, for another model to read."""
    words = (token["text"] for token in tokens if not token.get("control"))
    return "".join(words).split(NEXT_TURN, maxsplit=1)[0]


def scale(metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    """Mean and deviation of a reward model over the responses of its snapshot, if known."""
    mean, deviation = metrics.get("eval_score_mean"), metrics.get("eval_score_std")
    if not isinstance(mean, int | float) or not isinstance(deviation, int | float):
        return None
    return (float(mean), float(deviation)) if deviation > 0 else None


def placed(score: float, metrics: Mapping[str, Any]) -> dict[str, float]:
    """A score as its distance from the snapshot's responses, and the share that lies below it.

    The share is that of a bell curve with their mean and deviation.
    """
    known = scale(metrics)
    if known is None:
        return {}
    z = (score - known[0]) / known[1]
    return {"z": round(z, 4), "below": round(NormalDist().cdf(z), 4)}


def may_be_sent(answers: Sequence[tuple[str, str]]) -> str:
    """Why the answers, each (state, text), make no task; empty when they do."""
    whole = [text.strip() for state, text in answers if state == "succeeded" and text.strip()]
    if len(answers) < 2:
        return "A task needs two answers: ask two models, or type a reply beside this one."
    if len(whole) < 2:
        return "A task needs two answers that were written to their end and are not empty."
    if len(set(whole)) < 2:
        return "The answers are the same, so there is nothing to choose."
    return ""
