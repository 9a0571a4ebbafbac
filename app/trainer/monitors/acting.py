"""What follows when a monitor is beyond its limit: a warning, the end, or people who look."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.trainer.monitors.watch import Watch
from app.trainer.run_folder import FOR_PEOPLE, RunFolder


def take_up(watch: Watch, folder: RunFolder, state: Mapping[str, Any]) -> None:
    """Go on watching where a checkpoint left off."""
    watch.load(state)
    if watch.is_on and not (watch.start or watch.waiting):
        folder.note(
            "The checkpoint knows nothing of how the run began: the monitors compare with what "
            "they see first now."
        )


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
        folder.warn(step, sentence)
    action = watch.config.monitor_action
    if action == "stop":
        return (
            f"Stopped at step {step}, for a monitor is beyond its limit (monitor_action=stop); "
            "the last weights within limits stay."
        )
    if action == "send" and (rows := lines()):
        folder.send(step, rows)
        folder.note(
            f"{len(rows)} prompts with the responses of the start and of now are in {FOR_PEOPLE}: "
            "import the file into a project, so that people say which they prefer."
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
        }
        for prompt, old, new in zip(prompts, before, after, strict=True)
        if old and new and old != new
    ]
