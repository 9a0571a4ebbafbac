"""Rules of rounds: the order of the steps, when enough is judged, and what the figures show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Step(StrEnum):
    """In the order in which a round takes them."""

    GENERATE = "generate"
    RANK = "rank"
    FREEZE = "freeze"
    TRAIN = "train"
    EVALUATE = "evaluate"
    PROMOTE = "promote"


NAMES = {
    Step.GENERATE: "Generate",
    Step.RANK: "Rank",
    Step.FREEZE: "Freeze",
    Step.TRAIN: "Train",
    Step.EVALUATE: "Evaluate",
    Step.PROMOTE: "Promote",
}
ABOUT = {
    Step.GENERATE: "The newest model writes new responses.",
    Step.RANK: "People say which responses are better.",
    Step.FREEZE: "The judgements become a snapshot, a dataset that never changes.",
    Step.TRAIN: "New models learn from the snapshot.",
    Step.EVALUATE: "The new model is compared with the one before.",
    Step.PROMOTE: "The new model takes the place of the one before, if it is preferred.",
}
# What the button says with which somebody begins a step that waits for her.
DEEDS = {
    Step.GENERATE: "Let the model write",
    Step.RANK: "Enough is judged: go on",
    Step.FREEZE: "Freeze the snapshot",
    Step.TRAIN: "Train on it",
    Step.EVALUATE: "Compare the models",
    Step.PROMOTE: "Promote the new model",
}
KINDS = ("sft", "reward", "dpo", "ppo")
WRITERS = ("ppo", "dpo", "sft")  # whose checkpoint is the round's model, the last trained first


def after(step: Step) -> Step | None:
    """The step that follows; None after the last one."""
    steps = list(Step)
    place = steps.index(step) + 1
    return steps[place] if place < len(steps) else None


def first_step(*, has_writer: bool) -> Step:
    """A project without a model begins with the responses that were imported."""
    return Step.GENERATE if has_writer else Step.RANK


# -- ranking ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """How far the ranking of a round is: judgements that count, and tasks of all that it opened."""

    judgements: int
    tasks_done: int
    tasks: int
    agreement: float | None = None

    @property
    def is_all(self) -> bool:
        return 0 < self.tasks == self.tasks_done


def enough_judged(
    judged: Judged, *, judgements: int | None, min_agreement: float | None
) -> tuple[bool, str]:
    """Whether the round may go on, and in words what is still wanted.

    `judgements`: so many will do; None waits for all tasks. `min_agreement` is Krippendorff's α.
    """
    if not judged.judgements:
        return False, "Nothing has been judged in this round yet."
    has_number = judged.is_all or (judgements is not None and judged.judgements >= judgements)
    if not has_number:
        left = judged.tasks - judged.tasks_done
        by_number = "" if judgements is None else f", or {judgements - judged.judgements:,} more"
        tasks = f"{left:,} {'task' if left == 1 else 'tasks'}"
        return False, f"{tasks} still want judgements{by_number}."
    if min_agreement is None:
        return True, ""
    if judged.agreement is None:
        return False, (
            "Enough is judged, but agreement is not defined yet: it needs tasks that two people "
            "have judged."
        )
    if judged.agreement < min_agreement:
        return False, (
            f"Enough is judged, but people agree too little: α is {judged.agreement:.2f}, and "
            f"{min_agreement:.2f} is asked for. Look at the disagreements, or lower the bar."
        )
    return True, ""


def wanted(step: Step, *, state: str, is_under_way: bool, is_paused: bool, by_hand: bool) -> str:
    """What a round does now or waits for, but for how much is still to be judged."""
    if state in {"succeeded", "cancelled"}:
        return "It is over." if state == "succeeded" else "It was ended."
    if state == "failed":
        return "It stands still: an admin has to try this step again, skip it, or end the round."
    if is_under_way:
        return UNDER_WAY[step]
    if is_paused:
        return "It is paused: no step begins until an admin lets it go on."
    return f"It waits for an admin: {DEEDS[step].lower()}." if by_hand else "It begins in a moment."


UNDER_WAY = {
    Step.GENERATE: "The model is writing new responses.",
    Step.RANK: "The ranking is being closed.",
    Step.FREEZE: "The judgements are being frozen into a snapshot.",
    Step.TRAIN: "The models are being trained, one after the other.",
    Step.EVALUATE: "The new model is being compared with the one before.",
    Step.PROMOTE: "The result is being written down.",
}


# -- what came of it --------------------------------------------------------------------------


def is_preferred(win: Mapping[str, Any] | None) -> bool | None:
    """Whether the new model is better (True), worse (False), or neither is shown (None)."""
    if not win or win.get("low") is None or win.get("high") is None:
        return None
    if win["low"] > 0.5:
        return True
    return False if win["high"] < 0.5 else None


def told(
    win: Mapping[str, Any] | None,
    *,
    has_new: bool = True,
    has_former: bool = True,
    is_skipped: bool = False,
) -> str:
    """Whether the round's model is better than the one before, as far as the data shows it."""
    if not has_new:
        return "No new model yet."
    if not has_former:
        return "It is the first model of the project: there is nothing yet to compare it with."
    if is_skipped:
        return "Not shown: the comparison with the model before was skipped."
    if not win:
        return "Not shown yet: the new model has not been compared with the one before."
    if win.get("value") is None:
        return "Not shown: the comparison ended with nothing judged. Its page says why."
    rate = f"{_percent(win['value'])} of {win['n']:,} {win['of']}"
    judge = win.get("by", "people")
    if win.get("low") is None or win.get("high") is None:
        return f"Not shown: {judge} preferred the new model in {rate}, too few for an interval."
    span = f"{_percent(win['low'])} to {_percent(win['high'])}"
    verdict = is_preferred(win)
    if verdict is None:
        return (
            f"Not shown: {judge} preferred the new model in {rate}, but the interval ({span}) "
            "includes 50 %. It may be better, worse or the same."
        )
    if verdict:
        return f"It got better: {judge} preferred the new model in {rate} ({span})."
    return f"It got worse: {judge} preferred the new model in only {rate} ({span})."


def accuracy_told(accuracy: Mapping[str, Any] | None, people: Mapping[str, Any] | None) -> str:
    """How the reward model stands beside what people allow."""
    if not accuracy or accuracy.get("value") is None:
        return ""
    said = f"right on {_percent(accuracy['value'])} of {accuracy['n']:,} unseen comparisons"
    votes = (people or {}).get("model") or {}
    if people and people.get("best") is not None and votes.get("value") is not None:
        said += (
            f"; of people’s single votes it takes {_percent(votes['value'])}, where a judge who "
            f"knew each majority would take {_percent(people['best'])}"
        )
    return said


def told_promotion(*, is_promoted: bool) -> str:
    if is_promoted:
        return "The new model is promoted: the next round sets out from it."
    return (
        "The new model is not promoted: it is not shown to be better. The next round sets out from "
        "the former one."
    )


def in_minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


# -- the picture ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mark:
    """A step as the picture of the loop shows it."""

    step: Step
    state: str  # done, skipped, here, failed, ahead

    @property
    def name(self) -> str:
        return NAMES[self.step]


def marks(
    step: Step, *, state: str, skipped: Sequence[Step] = (), first: Step = Step.GENERATE
) -> list[Mark]:
    """Every step with where it stands; what lies before a round's `first` step is left out."""
    order = list(Step)
    here = order.index(step)

    def of(place: int, each: Step) -> str:
        if each in skipped or place < order.index(first):
            return "skipped"
        if state == "succeeded" or place < here:
            return "done"
        if place > here:
            return "ahead"
        return {"failed": "failed", "cancelled": "ahead"}.get(state, "here")

    return [Mark(each, of(place, each)) for place, each in enumerate(order)]
