"""Why a training process ended, and what to do about it."""

import signal
from collections.abc import Sequence

from app.runs.rules.pace import in_words

MISHAPS = 3  # a run that was lost, hung or killed so often in a row is not tried again by itself

OUT_OF_MEMORY = (
    "Lower max_tokens_per_forward or per_device_train_batch_size, or train an adapter (lora_r)."
)
CORRECT_IT = "Correct that, then start again."
REMEDIES = {
    2: CORRECT_IT,
    3: f"There was not enough memory. {OUT_OF_MEMORY}",
    4: "The loss stopped being a number. Lower learning_rate, or check the data for odd rows.",
}


def failure(exit_code: int, last_words: Sequence[str]) -> str:
    """One sentence or two on why a training child ended, and what to do.

    `last_words` are the last lines it wrote to its standard error.
    """
    said = next((line.strip() for line in reversed(last_words) if line.strip()), "")
    said = said.removeprefix("Error: ").removeprefix("error: ")
    if exit_code in REMEDIES:
        return _sentences(said, REMEDIES[exit_code])
    if (number := signal_of(exit_code)) is not None:
        return killed(number, peak=0, limit=0, oom=number == SIGKILL)
    if "disk is full" in said:
        return DISK_FULL
    return _sentences(
        f"The training process ended unexpectedly (exit code {exit_code})",
        f"It said: {said}" if said else "",
        "The log below has the details; resume the run once the cause is gone",
    )


def refusal(exit_code: int, last_words: Sequence[str]) -> str:
    """The same of a rehearsal: nothing was started, so that there is nothing to start again."""
    said = failure(exit_code, last_words)
    return (
        said.replace(CORRECT_IT, "Nothing was started. Correct that, and check it again.")
        .replace("The training process", "The rehearsal")
        .replace(
            "; resume the run once the cause is gone", "; check it again once the cause is gone"
        )
    )


SIGKILL = 9
NEAR = 0.85  # of the memory there is: whoever was killed there was killed for it
WORKER_LOST = "Look at the worker's log (memory?), then resume the run."
KILLED = "Find out on the worker's machine what ends it, then resume the run."
HUNG = (
    "The log ends with what each thread was doing: a disk, a network or a device that does not "
    "answer. Mend it, then resume the run. If it was only slow, raise TOUCHSTONE_HANG_MINUTES."
)
OUT_OF_TOUCH = "Its worker had been halted, or out of touch with the database, for too long."
HALTED = "The training process had been halted (SIGSTOP) and was told to go on."
NO_ROOM = "Waiting for room in the artifact store: it is full, and the model is done"
DISK_FULL = (
    "The worker's disk is full. Make room on it (save_total_limit says how many checkpoints are "
    "kept), then resume the run: it goes on from its last saved step."
)


def signal_of(exit_code: int) -> int | None:
    """The signal that ended a child; None where it ended by itself (130 is its own answer)."""
    if exit_code < 0:
        return -exit_code
    return exit_code - 128 if 128 < exit_code < 160 and exit_code != 130 else None


def out_of_memory(*, peak: int, limit: int, oom: bool) -> bool:
    """Whether a kill was for memory: the system says so (`oom`), or nearly all was in use."""
    return oom or bool(limit and peak >= NEAR * limit)


def killed(number: int, *, peak: int, limit: int, oom: bool) -> str:
    """What a signal did to the training process; sizes in bytes, 0 where they are not known."""
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number != SIGKILL:
        return f"The training process was ended by {name}, which is a crash or somebody's wish."
    if out_of_memory(peak=peak, limit=limit, oom=oom):
        most = f" of {limit / 1e9:.1f} GB" if limit else ""
        used = f" It had used up to {peak / 1e9:.1f} GB{most}." if peak else ""
        return (
            "The training process was killed by the system, because memory ran out."
            f"{used} {OUT_OF_MEMORY}"
        )
    return (
        f"The training process was killed from outside ({name}). Memory was not the reason: it had "
        f"used up to {peak / 1e9:.1f} of {limit / 1e9:.1f} GB."
    )


def hung(seconds: float) -> str:
    return (
        f"The training stood still for {in_words(seconds)}: no step, no output, and nothing "
        "computed. It was ended."
    )


def spun(seconds: float) -> str:
    return (
        f"The training stood still for {in_words(seconds)}: no step and no output, though it kept a"
        " processor busy. It was ended."
    )


def given_up(what: str, advice: str) -> str:
    """The error of a run that came to grief again and again at the same place."""
    return f"{what} This happened {MISHAPS} times without a new saved step in between. {advice}"


def _sentences(*parts: str) -> str:
    ended = (part if part[-1] in ".!?…" else f"{part}." for part in parts if part)
    return " ".join(ended)
