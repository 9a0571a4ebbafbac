"""The log of a person in words."""

from collections.abc import Mapping
from typing import Any


def number_of(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_words(action: str, details: Mapping[str, Any]) -> str:
    """What an event of the audit log says of the person it is about."""
    match action:
        case "project.member.pause":
            return _because("paused her", details)
        case "project.member.pause.rule":
            return f"paused her: {details['passed']} of {details['seen']} gold answers were right"
        case "project.member.resume":
            return "let her go on"
        case "project.member.message":
            return f"wrote to her: “{details.get('text', '')}”"
        case "project.member.message.withdraw":
            return "took a message back before she had read it"
        case "project.member.exclude":
            return _because("took her judgements out of snapshots", details)
        case "project.member.include":
            return "took her judgements into snapshots again"
        case "project.member.requeue":
            judgements = number_of(int(details.get("judgements", 0)), "judgement")
            opened = number_of(int(details.get("opened", 0)), "task")
            which = details.get("which", "")
            return f"re-queued {judgements} ({which}); {opened} opened again"
        case "project.member.requeue.undo":
            restored = int(details["restored"])
            left = int(details["judgements"]) - restored
            taken = f"; the place of {left:,} was taken" if left else ""
            return f"undid a re-queue: {number_of(restored, 'judgement')} count again{taken}"
        case "appeal.settle":
            return f"answered her appeal: {details.get('outcome', '')}"
        case "project.member":
            return f"gave her the role {details.get('role', '')}"
        case "qualification.let_in":
            return "let her in without a qualification"
        case "qualification.allow":
            return "allowed her another attempt at the qualification"
        case "qualification.ask_again":
            return "asked her to qualify again"
    return action.rpartition(".")[2].replace("_", " ")


def _because(what: str, details: Mapping[str, Any]) -> str:
    reason = details.get("reason")
    return f"{what}: “{reason}”" if reason else what
