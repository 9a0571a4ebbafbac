"""Rules of runs: how a run may change, what it may build on, how long it takes, why it failed.

States and kinds are their plain words here; `app.db.JobState` and `RunKind` compare equal to them.
"""

import math
import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.errors import Conflict, Invalid
from app.run_config import DpoConfig, PpoConfig, RewardConfig, RunConfig, describe

# From each state to those it may become. A lost or stopped attempt goes back to the queue.
MOVES: dict[str, frozenset[str]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
    "succeeded": frozenset(),
}

NAMES = {"sft": "SFT", "reward": "Reward model", "dpo": "DPO", "ppo": "PPO"}
ABOUT = {
    "sft": "Supervised fine-tuning: the model learns to write like the best responses.",
    "reward": "A reward model learns to give the score that people's judgements imply.",
    "dpo": "Direct preference optimisation: the model learns to prefer what people preferred.",
    "ppo": "The model writes, the reward model scores, and the model moves towards high scores.",
}
WRITERS = frozenset({"sft", "dpo", "ppo"})  # kinds whose checkpoint writes text

# What each kind reads from a dataset folder, best first (contract §5).
READS: dict[str, tuple[str, ...]] = {
    "sft": ("sft",),
    "reward": ("ranking", "preference"),
    "dpo": ("preference",),
    "kto": ("unpaired",),
    "ppo": ("prompts",),
}
WHY_MISSING = {
    "sft": "It is made of rewrites and best responses: judge some tasks first.",
    "ranking": "It is made of judged tasks: judge some first.",
    "preference": "It is made of judged pairs with a clear winner: judge some tasks first.",
    "unpaired": "It is made of judged responses: judge some tasks first.",
    "prompts": "It is made of the project's prompts: import some first.",
}

PRIORITIES = {2: "first", 1: "sooner", 0: "normal", -1: "later", -2: "last"}
PROGRESS = re.compile(r"^new model (\d+)/(\d+)")
MISHAPS = 3  # a run that was lost, hung or killed so often in a row is not tried again by itself


def can_move(state: str, to: str) -> bool:
    return to in MOVES[state]


def is_writer(kind: str) -> bool:
    """Whether a checkpoint of this kind writes text (a reward model only scores it)."""
    return kind in WRITERS


def check_base_kind(kind: str, base_kind: str) -> None:
    """`Invalid` unless a run of `kind` may start from a checkpoint of `base_kind`."""
    if kind == "reward" or is_writer(base_kind):
        return
    raise Invalid(
        f"{NAMES[kind]} trains a model that writes, but this checkpoint is a reward model, which "
        "only scores. Choose a checkpoint of SFT, DPO or PPO as the base."
    )


def check_reward(kind: str, *, has_reward: bool) -> None:
    """PPO needs a reward model, nothing else has a use for one."""
    if kind == "ppo" and not has_reward:
        raise Invalid("PPO needs a reward model: train one and name it as reward_checkpoint_id.")
    if kind != "ppo" and has_reward:
        raise Invalid(f"Only PPO uses a reward model. Leave it out for {NAMES[kind]}.")


def check_from_afar(kind: str, given: Mapping[str, Any]) -> None:
    """`Invalid` for a setting that only the command line may have: it runs code on the worker."""
    for row in describe(kind):
        if row["local"] and given.get(row["name"]):
            name = row["name"]
            message = (
                f"{name} runs code on the machine that trains, so it can be given on the command "
                f"line alone: touchstone train {kind} … --set {name}=…"
            )
            raise Invalid(message, errors=[{"field": f"config.{name}", "message": message}])


def dataset_config(kind: str, config: RunConfig, *, available: Iterable[str]) -> str:
    """The folder of the snapshot that the run reads; `Invalid` where there is none that fits."""
    there = sorted(set(available))
    if isinstance(config, RewardConfig) and config.objectives and "ratings" not in there:
        raise Invalid(
            "objectives learn from the ratings of a snapshot, and this one has none. Let people "
            "rate responses by criteria first, or leave objectives empty."
        )
    purpose = "kto" if isinstance(config, DpoConfig) and config.loss_type == "kto" else kind
    wanted = (config.dataset_config,) if config.dataset_config else READS[purpose]
    for name in wanted:
        if name in there:
            return name
    has = f"It has {', '.join(there)}." if there else "It has no rows at all."
    raise Invalid(
        f"{NAMES[kind]} reads the {' or '.join(wanted)} data of a snapshot, and this one has none. "
        f"{has} {WHY_MISSING.get(wanted[-1], '')}".strip()
    )


def estimated_steps(config: RunConfig, *, rows: int) -> int:
    """Updates that a run will make over `rows` training rows on one process."""
    if config.max_steps > 0:
        return config.max_steps
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps
    if isinstance(config, PpoConfig):
        batch //= config.group  # prompts
        if config.total_episodes:
            return math.ceil(config.total_episodes / (batch * config.group))
    return max(1, math.ceil(math.ceil(rows / batch) * config.num_train_epochs))


def batch_of(config: Mapping[str, Any]) -> int:
    """Examples (of PPO: episodes) behind one update of one process."""
    size = config.get("per_device_train_batch_size") or 1
    return max(1, int(size) * int(config.get("gradient_accumulation_steps") or 1))


def chain_settings(rows: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Settings of a whole chain from a new model, by kind: minutes, and yet something is learnt.

    A small snapshot is passed over often, a large one in part. `rows` as `training_rows` has it.
    """

    def passes(config: str, *, examples: int, at_most: float) -> float:
        return round(min(at_most, examples / max(1, rows.get(config, 0))), 4)

    judged = "ranking" if rows.get("ranking") else "preference"
    return {
        "sft": {"num_train_epochs": passes("sft", examples=1600, at_most=16)},
        "reward": {"num_train_epochs": passes(judged, examples=1600, at_most=3)},
        "dpo": {"num_train_epochs": passes("preference", examples=1600, at_most=4)},
        "ppo": {"total_episodes": 256},
    }


def save_every(total_steps: int) -> int:
    """Steps between checkpoints where nobody chose: about ten per run, so little is ever lost."""
    return max(5, math.ceil(total_steps / 10))


def new_model_steps(size: str, *, corpus_bytes: int) -> int:
    """Updates for a model from scratch: a few passes over a small corpus, more would be idle.

    `corpus_bytes` are of gzip, of which about one makes a token; an update takes 4,096 tokens.
    """
    most = {"tiny": 300, "small": 600}[size]
    return min(most, max(40, math.ceil(8 * corpus_bytes / 4096)))


def making_a_model(said: Sequence[str]) -> str:
    """What a run does before it trains, from the last lines of `new`: `new model 12/45 …`."""
    done = next((found for line in reversed(said) if (found := PROGRESS.search(line))), None)
    where = f" ({done[1]} of {done[2]})" if done else ""
    return f"Making a new language model from the texts of the snapshot{where}"


def new_model_step(said: Sequence[str]) -> int | None:
    """The last update of a new model that is told of."""
    for line in reversed(said):
        if found := PROGRESS.search(line):
            return int(found[1])
    return None


def time_of_steps(seen: Mapping[int, float], *, steps: int) -> float:
    """Seconds for so many steps at the pace between the first and the last that were seen."""
    if len(seen) < 2:
        return 0.0
    first, last = min(seen), max(seen)
    return (seen[last] - seen[first]) / (last - first) * steps


def seconds_left(
    first: tuple[int, float], last: tuple[int, float], *, total_steps: int | None
) -> float | None:
    """Time to go at the pace between two logged steps, each (step, time in seconds)."""
    steps = last[0] - first[0]
    if not total_steps or steps <= 0:
        return None
    return max(0.0, (last[1] - first[1]) / steps * (total_steps - last[0]))


def in_words(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def storable(value: Any) -> Any:
    """A JSON value as PostgreSQL can hold it: NaN and ∞ become null, NUL a mark."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def changed_settings(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not at their default, in the order they are declared."""
    return {name: value for name, value in config.items() if value != _as_json(defaults.get(name))}


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# -- the queue --------------------------------------------------------------------------------


def check_priority(priority: int) -> None:
    if priority not in PRIORITIES:
        raise Invalid(
            f"A priority is one of {', '.join(map(str, sorted(PRIORITIES)))}; {priority} is not.",
            errors=[{"field": "priority", "message": "choose a number from -2 to 2"}],
        )


def needs_in_words(needs: Mapping[str, Any]) -> str:
    """What a run asks of its worker, as part of a sentence."""
    if needs.get("gpu_memory_gb"):
        return f"a GPU with {needs['gpu_memory_gb']} GB of memory"
    return {"cuda": "a GPU", "cpu": "the CPU alone"}.get(str(needs.get("device")), "any worker")


def why_it_waits(
    needs: Mapping[str, Any],
    *,
    connected: int,
    can_train: int,
    gpu_memory: int,
    fit: int,
    takes_work: int,
    ahead: int,
) -> str:
    """Why a run that could start has not: the counts are of workers that were heard of lately."""
    if not connected:
        return (
            "No worker is connected. Start one with “touchstone worker” on a machine that reaches "
            "the database and the artifact store; the run starts by itself then."
        )
    if not can_train:
        return (
            "No connected worker can train: install Touchstone with the train extra on its machine."
        )
    if not fit:
        has = f"the largest GPU has {gpu_memory / 1e9:.0f} GB" if gpu_memory else "none has any GPU"
        return (
            f"It needs {needs_in_words(needs)}, and no such worker is connected: {has}. Connect "
            "one, or start the run again with smaller needs."
        )
    if not takes_work:
        return "The workers that could take it were told to take nothing new. See Workers."
    if ahead:
        return f"{ahead} {'job is' if ahead == 1 else 'jobs are'} before it in the queue."
    return "It is next: it starts as soon as a worker is free."


# -- how a child ended ------------------------------------------------------------------------

OUT_OF_MEMORY = (
    "Lower max_tokens_per_forward or per_device_train_batch_size, or train an adapter (lora_r)."
)
CORRECT_IT = "Correct that, then start the run again."
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


def field_of(error: str, config: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """The field of the launch form that an error of the trainer belongs to; empty for none.

    A setting that it names comes first, then the model it was given, then the data.
    """
    words = re.findall(r"[a-z][a-z0-9_]+", error)
    if named := next((word for word in words if word in config and "_" in word), None):
        return f"config.{named}"
    model = str(base.get("model") or "")
    if "--model" in error or (model and model in error):
        return "model" if model else "base"
    return "snapshot_id" if {"dataset", "rows", "row", "data"} & set(words) else ""


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


def must_be_final(state: str) -> None:
    """`Conflict` with the reason unless a run in this state can be resumed."""
    if can_move(state, "queued") and state != "running":
        return
    if state == "succeeded":
        raise Conflict("This run has succeeded; there is nothing to resume.")
    raise Conflict(f"This run is {state} already.")
