"""Why a run failed, as its page tells it: a heading, what that means, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Remedy(StrEnum):
    """What the page offers; each is a button or a link."""

    RESUME = "resume"
    AGAIN = "again"  # the launch form, filled in as this run was
    SMALLER = "smaller"  # … with a smaller batch
    SLOWER = "slower"  # … with a lower learning rate
    SNAPSHOTS = "snapshots"
    BASE = "base"  # the run that this one builds on
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`signs` are words of the error by which it is known."""

    name: str
    heading: str
    meaning: str
    remedies: tuple[Remedy, ...]
    signs: tuple[str, ...] = ()


R = Remedy
# The first whose sign is found; those that name a cause before those that only tell an exit code.
TROUBLES = (
    Trouble(
        "base",
        "The run that it builds on has not succeeded",
        "It never started. Once the other run has been resumed and succeeds, this one follows by "
        "itself.",
        (R.BASE,),
        ("It builds on",),
    ),
    Trouble(
        "disk",
        "The worker’s disk is full",
        "What had been saved before is kept. Make room on the machine of the worker first.",
        (R.RESUME, R.AGAIN),
        ("disk is full", "no room left", "No space left"),
    ),
    Trouble(
        "data",
        "A file that it needs is gone or damaged",
        "Its snapshot, its base or its reward model lies in the artifact store, and there it is no "
        "longer what it was. Once it is back, the run can go on; another snapshot may do as well.",
        (R.RESUME, R.SNAPSHOTS, R.AGAIN),
        ("in the artifact store", "removed, since they held"),
    ),
    Trouble(
        "rights",
        "The worker may not write where it has to",
        "The account under which it runs lacks a right on its machine.",
        (R.RESUME,),
        ("may not write",),
    ),
    Trouble(
        "hang",
        "It stood still",
        "It neither made a step nor computed anything, so it was ended. The end of the log says "
        "where each of its threads was.",
        (R.RESUME, R.LOG),
        ("stood still",),
    ),
    Trouble(
        "lost",
        "Its worker was lost",
        "The machine went away, or the worker on it was ended, again and again.",
        (R.RESUME, R.SMALLER),
        ("worker was lost", "worker was not heard of"),
    ),
    Trouble(
        "outside",
        "It was ended from outside",
        "Somebody or something on the worker’s machine ended it; nothing is wrong with the run.",
        (R.RESUME,),
        ("stopped from outside", "killed from outside", "was stopped"),
    ),
    Trouble(
        "memory",
        "It ran out of memory",
        "Half the batch with twice the accumulation steps trains the same and needs less memory.",
        (R.SMALLER, R.RESUME),
        ("not enough memory", "Out of memory", "memory ran out"),
    ),
    Trouble(
        "diverged",
        "The loss stopped being a number",
        "Most often the learning rate is too high for this model or these data; a third of it is a "
        "good next try.",
        (R.SLOWER, R.LOG),
        ("stopped being a number",),
    ),
    Trouble(
        "crash",
        "The training process crashed",
        "A signal ended it: a defect of a library or of the machine, or somebody’s wish.",
        (R.RESUME, R.LOG),
        ("ended by",),
    ),
    Trouble(
        "unexpected",
        "It ended unexpectedly",
        "This is no known way to fail. The log has the details; what it says may tell whether "
        "another try is of use.",
        (R.RESUME, R.LOG),
        ("ended unexpectedly", "could not carry", "without a model"),
    ),
)
REFUSED = Trouble(
    "refused",
    "Something it was given cannot be used",
    "It ended before it trained: a setting, the model or the data has to be another one.",
    (R.AGAIN, R.LOG),
)


def trouble_of(error: str) -> Trouble:
    """The trouble that an error tells of; what none of them knows was refused by the trainer."""
    return next((each for each in TROUBLES if any(sign in error for sign in each.signs)), REFUSED)
