"""What a change of settings means, and what new guidelines start from."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any
from uuid import UUID

# The form of a judgement: what annotators are asked and may answer.
SCALE = ("criteria", "strength_levels", "allow_ties")

# What annotators read; each version keeps both.
TOLD = ("guidelines", "guidelines_examples")

# What one person may hand in; each may be absent.
LIMITS = frozenset({"daily_limit", "total_limit", "largest_share"})
# What people are paid; each may be unknown.
COSTS = frozenset({"cost_per_hour", "cost_per_judgement"})
# How many people judge a task: what the tasks' own wanted numbers follow from.
OVERLAP = ("overlap_min", "overlap_max", "overlap_confidence")

SETTINGS = (
    "name",
    "description",
    *SCALE,
    *OVERLAP,
    "gold_rate",
    "gold_threshold",
    "lease_minutes",
    "repeat_rate",
    *sorted(LIMITS),
    *sorted(COSTS),
    "currency",
    "qualification_size",
    "qualification_pass",
    "qualification_attempts",
    "qualification_wait_hours",
    "guidelines",
    "paused",
)


STARTER_GUIDELINES = """\
## What you do

You see a prompt and two or more responses. Decide which response serves the person who wrote the
prompt best, and put them in order. Judge what is written, not how long it is.

## What counts, in this order

1. **Safe**: it does not help anybody to harm people.
2. **True**: what it states is right; where it is unsure, it says so.
3. **Helpful**: it answers what was asked, completely, in the form that was asked for.
4. **Clear**: it is easy to read, without padding.

## When it is close

- A small mistake in an answer that helps weighs less than a flawless answer to another question.
- Two responses are a **tie** only when you could not defend either order.
- Say in the rationale what decided it; one sentence is enough.

## When you cannot judge

Skip the task and give the reason: you lack the knowledge, the language, or the prompt is unclear.
Skipping costs you nothing.
"""


def alters_meaning(changed: Collection[str]) -> bool:
    """Whether judgements before and after the change answer different questions."""
    return not {*SCALE, *TOLD}.isdisjoint(changed)


def scale_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What annotators are asked that they were not asked before, or no longer, in sentences."""
    if not before or not after:
        return []  # a version from before scales were kept
    told = []
    if before["allow_ties"] != after["allow_ties"]:
        told.append(
            "Ties are allowed now." if after["allow_ties"] else "Ties are no longer allowed."
        )
    levels = after["strength_levels"]
    if before["strength_levels"] != levels:
        told.append(
            f"How much better a response is, you say in {levels} steps now."
            if levels
            else "You no longer say how much better a response is."
        )
    old = {each["key"]: each for each in before["criteria"]}
    new = {each["key"]: each for each in after["criteria"]}
    told += [f"You no longer rate {old[key]['label']}." for key in old if key not in new]
    told += [
        f"You rate {each['label']} from {each['min']} to {each['max']}."
        for key, each in new.items()
        if each != old.get(key)
    ]
    return told


def audited(changed: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log keeps of a change; the guidelines' text has its own versions."""
    new = {"guidelines": "new text", "guidelines_examples": "new examples"}
    return {key: new.get(key, value) for key, value in changed.items()}


MOST_SKILLS = 40  # of a person; a task may need as many
LONGEST_SKILL = 40  # characters


def expertise_of(tags: Iterable[str]) -> list[str]:
    """Tags of expertise as they are compared: “Tax  Law” is “tax law”. Sorted, none twice.

    Raises ValueError with a sentence that quotes the tag.
    """
    return _skills(tags, kind="expertise", normal=_plain)


def languages_of(tags: Iterable[str]) -> list[str]:
    """Languages as they are compared: “de-AT” and “DE” are “de”. Sorted, none twice.

    Raises ValueError with a sentence that quotes the tag.
    """
    languages = _skills(tags, kind="language", normal=language_of)
    for language in languages:
        if not language.isalpha():
            raise ValueError(
                f"“{language}” is no language: write a tag like “de”, or the word for it that "
                "the data use."
            )
    return languages


def language_of(tag: str | None) -> str:
    """The primary part of a language tag; empty where there is none."""
    return _plain((tag or "").replace("_", "-").partition("-")[0])


def may_judge(
    *, language: str, needs: Collection[str], languages: Collection[str], expertise: Collection[str]
) -> bool:
    """Whether somebody may have a task: every expertise it needs, and its language or any."""
    speaks = not language or not languages or language in languages
    return speaks and set(needs) <= set(expertise)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _skills(tags: Iterable[str], *, kind: str, normal: Callable[[str], str]) -> list[str]:
    names = sorted({name for name in map(normal, tags) if name})
    if len(names) > MOST_SKILLS:
        raise ValueError(f"{len(names)} tags of {kind} are too many; {MOST_SKILLS} are allowed.")
    for name in names:
        if "," in name or len(name) > LONGEST_SKILL:
            raise ValueError(
                f"“{name[:LONGEST_SKILL]}” is no tag of {kind}: up to {LONGEST_SKILL} characters, "
                "without a comma."
            )
    return names


CRITERION_LINE = re.compile(
    r"^(?P<label>[^:]+?)\s*(?::\s*(?P<min>-?\d+)\s*(?:-|–|to)\s*(?P<max>-?\d+))?$"
)


def criteria_from_text(text: str) -> list[dict[str, Any]]:
    """Criteria as people type them: a line each, `Label` or `Label: 1-5`.

    Raises ValueError with a sentence that quotes the line.
    """
    criteria = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        match = CRITERION_LINE.match(line)
        key = re.sub(r"[^a-z0-9]+", "_", line.split(":")[0].lower()).strip("_")[:40]
        if match is None or not key[:1].isalpha():
            raise ValueError(
                f"“{line}” is no criterion: write its name, and its scale behind a colon if it is "
                "not 1-5, for instance “Helpfulness: 1-7”."
            )
        criteria.append(
            {
                "key": key,
                "label": match["label"].strip(),
                "min": int(match["min"] or 1),
                "max": int(match["max"] or 5),
            }
        )
    return criteria


def criteria_as_text(criteria: Iterable[Mapping[str, Any]]) -> str:
    """What `criteria_from_text` reads back."""
    return "\n".join(f"{item['label']}: {item['min']}-{item['max']}" for item in criteria)


# -- examples in the guidelines

MOST_EXAMPLES = 40


def ranks_from_words(order: str, *, size: int) -> list[int]:
    """An order as people write it, `B > A = C` → [2, 1, 2]. Raises ValueError with a sentence."""
    names = [chr(ord("A") + position) for position in range(size)]
    listed = " > ".join(names)
    groups = [
        [name.strip().upper() for name in group.split("=")] for group in order.strip().split(">")
    ]
    given = [name for group in groups for name in group]
    if sorted(given) != names:
        raise ValueError(
            f"“{order.strip()}” does not say how its {size} responses compare. Name each of A to "
            f"{names[-1]} once, best first, with > between better and worse and = between equals, "
            f"for instance “{listed}”."
        )
    ranks = [0] * size
    better = 0
    for group in groups:
        for name in group:
            ranks[names.index(name)] = better + 1
        better += len(group)
    return ranks


# -- two people who wrote at once


def merged(base: str, theirs: str, mine: str) -> str | None:
    """Both changes of `base` in one text, line by line; None where they touch the same lines.

    Changes of neighbouring lines count as the same place, as for diff3 (Khanna, Kunal and Pierce,
    "A Formal Investigation of Diff3", 2007).
    """
    lines = base.splitlines()
    edits = sorted(
        {
            (begin, end, tuple(text.splitlines()[new_begin:new_end]))
            for text in (theirs, mine)
            for kind, begin, end, new_begin, new_end in SequenceMatcher(
                None, lines, text.splitlines(), autojunk=False
            ).get_opcodes()
            if kind != "equal"
        }
    )
    result: list[str] = []
    at, last_end = 0, -1
    for begin, end, new in edits:
        if begin <= last_end:
            return None
        result += lines[at:begin] + list(new)
        at = last_end = end
    result += lines[at:]
    return "\n".join(result) + ("\n" if mine.endswith("\n") or theirs.endswith("\n") else "")


def merged_lists(base: Sequence[Any], theirs: Sequence[Any], mine: Sequence[Any]) -> list[Any]:
    """What they have without what I took out, and then what I added."""
    kept = [each for each in theirs if each in mine or each not in base]
    return kept + [each for each in mine if each not in base and each not in theirs]


def example_changes(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]:
    """(new | old | changed, the example, what it was) between two versions."""

    def name(example: Mapping[str, Any]) -> str:
        return str(example.get("task_id") or example["prompt"].strip())

    were = {name(each): each for each in before}
    are = {name(each): each for each in after}
    found: list[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]] = []
    for key, example in are.items():
        if key not in were:
            found.append(("new", example, None))
        elif example != were[key]:
            found.append(("changed", example, were[key]))
    return found + [("old", each, None) for key, each in were.items() if key not in are]


def fingerprint(project_id: UUID, name: str) -> bytes:
    """What is kept of a name in imported data once it is erased: enough to know it again."""
    encoded = name.encode("utf-8", "surrogatepass")
    return hashlib.sha256(project_id.bytes + encoded).digest()
