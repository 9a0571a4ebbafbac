"""Why a run waits, and what it asks of its worker."""

from collections.abc import Mapping
from typing import Any

from app.errors import Invalid

PRIORITIES = {2: "first", 1: "sooner", 0: "normal", -1: "later", -2: "last"}


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
