"""What was done to a task, in words."""

from collections.abc import Mapping
from typing import Any

from app.quality.rules.review import in_words

PLAIN = {
    "task.withdraw_adjudication": "withdrew a decision",
    "gold.set": "made it gold, or changed its key",
    "gold.unset": "made it an ordinary task again",
    "qualification.set": "made it a question of the qualification, or changed its key",
}


def event_in_words(action: str, details: Mapping[str, Any]) -> str:
    """One event of the audit log about a task, as what somebody did."""
    if action == "task.adjudicate" and details.get("ranks"):
        return f"settled it: {in_words(details['ranks'])}"
    if action in {"task.send_back", "task.undo_send_back"} and details.get("more"):
        more = details["more"]
        people = "1 more person" if more == 1 else f"{more} more people"
        if action == "task.undo_send_back":
            return f"took back that {people} should judge it"
        because = f", because “{details['reason']}”" if details.get("reason") else ""
        return f"sent it back to {people}{because}"
    if action == "gold.suspend" and "judged" in details:
        return (
            f"suspended its key: {details.get('failed')} of {details['judged']} people in good "
            "standing answer otherwise"
        )
    return PLAIN.get(action, action.replace(".", " ").replace("_", " "))
