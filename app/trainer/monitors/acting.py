"""What follows when a monitor is beyond its limit: a warning, the end, or people who look."""

from collections.abc import Callable, Sequence
from typing import Any

from app.trainer.monitors.watch import Watch
from app.trainer.run_folder import RunFolder

FILE = "for_people.jsonl"
WARNINGS = "warnings.jsonl"  # as they come; result.json has them all at the end


def take_up(watch: Watch, folder: RunFolder, state: dict[str, Any] | None) -> None:
    """Go on watching where a checkpoint left off; what result.json says of it stays."""
    if state:
        watch.load(state)
        if watch.told:
            folder.extra["warnings"] = list(watch.told.values())
        if watch.told and watch.config.monitor_action == "send":
            folder.extra["for_people"] = FILE


def react(
    watch: Watch,
    folder: RunFolder,
    alarms: Sequence[str],
    *,
    step: int,
    lines: Callable[[], list[dict[str, Any]]],
) -> str:
    """Say each alarm and do what the settings want; why the run is to end now, or nothing.

    `lines` makes what is sent to people, which costs some writing.
    """
    if not alarms:
        return ""
    for sentence in alarms:
        folder.note(sentence)
    folder.append_all(WARNINGS, [{"step": step, "message": each} for each in alarms])
    folder.extra["warnings"] = list(watch.told.values())
    if watch.config.monitor_action == "stop":
        return alarms[0]
    if watch.config.monitor_action == "send":
        sent = folder.append_all(FILE, lines())
        folder.extra["for_people"] = FILE
        folder.note(
            f"{sent} prompts with the responses of the start and of now are in {FILE}: import the "
            "file into a project, so that people say which they prefer."
        )
    return ""


def for_people(
    step: int,
    prompts: Sequence[Sequence[dict[str, str]]],
    before: Sequence[str],
    after: Sequence[str],
) -> list[dict[str, Any]]:
    """Lines that Touchstone imports; responses that say nothing or the same are left out."""
    return [
        {
            "prompt": list(prompt),
            "responses": [
                {"text": old, "source": "start"},
                {"text": new, "source": f"step {step}"},
            ],
            "step": step,
        }
        for prompt, old, new in zip(prompts, before, after, strict=True)
        if old and new and old != new
    ]
