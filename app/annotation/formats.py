"""Judgements as other shapes: the fields of the plain HTML form, and the rows admins read."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.annotation.models import Annotation
from app.annotation.schemas import (
    FLAGS,
    SKIP_REASONS,
    AnnotationOut,
    AssignmentOut,
    ExpectedOut,
    TimesOut,
)

CHOICE = re.compile(r"([AB])(\d)")
NUMBER = re.compile(r"[0-9]{1,10}")
PLACE = re.compile(r"[1-9]|10")

# Weakest first, by the number of levels; without levels a choice has no strength.
STRENGTHS = {
    0: ["better"],
    1: ["better"],
    2: ["slightly better", "much better"],
    3: ["slightly better", "better", "much better"],
    4: ["barely better", "slightly better", "better", "much better"],
}


@dataclass(slots=True)
class Answer:
    """What the form shows as filled in."""

    choice: str = ""  # of a pair: A2 = A is better with strength 2, A0 = without one, T = tie
    ranks: dict[str, int] = field(default_factory=dict)
    ratings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rationale: str = ""
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rewrite: str = ""
    revision: int = 0  # of the annotation that is being changed
    draft_revision: int = 0


def answer_of(view: AssignmentOut) -> Answer:
    """What is known of her answer: the one handed in, else the draft."""
    given = view.annotation.model_dump() if view.annotation else view.draft or {}
    answer = filled(given, size=len(view.responses))
    answer.revision = view.annotation.revision if view.annotation else 0
    answer.draft_revision = (view.draft or {}).get("revision", 0)
    return answer


def filled(given: Mapping[str, Any], *, size: int) -> Answer:
    """The form with what a judgement, or a part of one, says."""
    # A draft may hold anything of the form of a ranking, places without a response as well: they
    # leave the other responses where they are.
    ranking: list[Sequence[str]] = given.get("ranking") or []
    answer = Answer(
        ranks={label: place for place, group in enumerate(ranking, 1) for label in group},
        ratings=given.get("ratings") or {},
        rationale=given.get("rationale") or "",
        flags=given.get("flags") or {},
        rewrite=given.get("rewrite") or "",
        revision=given.get("revision") or 0,
    )
    if size == 2 and len(answer.ranks) == 2:
        first, *others = [group for group in ranking if group]
        answer.choice = f"{first[0]}{given.get('strength') or 0}" if others else "T"
    return answer


def task_context(
    view: AssignmentOut,
    *,
    now: datetime,
    lease_minutes: int,
    answer: Answer | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """What `annotation/_task.html` shows."""
    left = (view.leased_until - now).total_seconds() if view.leased_until else 0
    return {
        "view": view,
        "answer": answer or answer_of(view),
        "error": error,
        "seconds_left": max(0, int(left)),
        "lease_seconds": lease_minutes * 60,
        "strengths": STRENGTHS[view.strength_levels],
        "all_flags": FLAGS,
        "skip_reasons": SKIP_REASONS,
        "key": uuid4(),
    }


def in_words(groups: Sequence[Sequence[str]]) -> str:
    """An order of labels as people say it."""
    if len(groups) == 1:
        return f"{' and '.join(groups[0])} are equally good"
    if [len(group) for group in groups] == [1, 1]:
        return f"{groups[0][0]} is better than {groups[1][0]}"
    return ", then ".join(" and ".join(group) for group in groups)


def expected_in_words(expected: ExpectedOut) -> list[str]:
    """What a right answer says: the whole order where the key knows it, else its parts."""
    if expected.order is not None and not expected.ties_allowed:
        return [in_words(expected.order)]
    or_equal = " or equally good" if expected.ties_allowed else ""
    parts = [f"{i} is better than {j}{or_equal}" for i, j in expected.better]
    return parts + [in_words([pair]) for pair in expected.equal]


def judgement_of_form(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The body of a judgement from the fields of the form; what is not filled in is left out.

    The ranking has a group for each place, without a response or with some, as a draft has.
    """
    body: dict[str, Any] = {"flags": {}, "ratings": {}}
    ranks: dict[int, list[str]] = {}
    for name, value in fields:
        if not isinstance(value, str) or not value:
            continue
        kind, _, rest = name.partition("_")
        if name == "choice":
            body |= _pair(value)
        elif name in {"rationale", "rewrite"}:
            body[name] = value.replace("\r\n", "\n")  # as a form sends the end of a line
        elif name == "revision" and NUMBER.fullmatch(value):
            body["revision"] = int(value) or None
        elif kind == "rank" and PLACE.fullmatch(value):
            ranks.setdefault(int(value), []).append(rest)
        elif kind == "flag":
            body["flags"].setdefault(rest, []).append(value)
        elif kind == "rating" and re.fullmatch(r"-?\d{1,3}", value):
            label, _, criterion = rest.partition("_")
            body["ratings"].setdefault(criterion, {})[label] = int(value)
    if ranks:
        body["ranking"] = [ranks.get(place, []) for place in range(1, max(ranks) + 1)]
    return body


def _pair(choice: str) -> dict[str, Any]:
    if choice == "T":
        return {"ranking": [["A", "B"]]}
    chosen = CHOICE.fullmatch(choice)
    if chosen is None:
        return {}
    better, strength = chosen[1], int(chosen[2])
    other = "B" if better == "A" else "A"
    return {"ranking": [[better], [other]]} | ({"strength": strength} if strength else {})


def for_admins(
    annotation: Annotation,
    *,
    external_id: str | None,
    annotator: str,
    response_ids: Sequence[UUID],
) -> AnnotationOut:
    """A judgement with all that is known of it; responses by id, in canonical order."""
    ids = [str(response_id) for response_id in response_ids]
    return AnnotationOut(
        id=str(annotation.id),
        task_id=str(annotation.task_id),
        external_id=external_id,
        annotator=annotator,
        response_ids=ids,
        ranks=annotation.ranks,
        strength=annotation.strength,
        ratings={
            criterion: {
                ids[place]: value for place, value in enumerate(values) if value is not None
            }
            for criterion, values in annotation.ratings.items()
        },
        rationale=annotation.rationale,
        flags={ids[int(place)]: flags for place, flags in annotation.flags.items()},
        rewrite=annotation.rewrite,
        meta=annotation.meta or {},
        counted=annotation.counted,
        repeat=annotation.is_repeat,
        revision=annotation.revision,
        guidelines_version=annotation.guidelines_version,
        submitted_at=annotation.submitted_at,
        times=TimesOut(
            wall_ms=annotation.wall_ms,
            visible_ms=annotation.visible_ms,
            active_ms=annotation.active_ms,
        ),
    )
