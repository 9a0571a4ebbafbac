"""Does a history keep what Touchstone promises? Pure, and told nothing by the application.

Given are the calls as people's programs saw them (`events`), and the rows and changes as the
database has them (`journal`). What is found wrong is named by kind. As in Jepsen's checkers, a
call whose answer never came may have been carried out or not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.history.events import FAIL, OK, Call
from tests.history.journal import Change, State

Violations = Iterator["Violation"]

# From where to where an assignment may go; an end that is submitted is for good.
LEGAL = {
    (None, "open"),
    ("open", "open"),
    ("open", "submitted"),
    ("open", "skipped"),
    ("open", "expired"),
    ("expired", "open"),
    ("expired", "submitted"),
    ("expired", "skipped"),
    ("skipped", "submitted"),
    ("submitted", "submitted"),
}


SLACK = 30.0  # seconds that a change of the overlap may take to reach every task


@dataclass(frozen=True, slots=True)
class Violation:
    kind: str
    what: str


def check(calls: Sequence[Call], state: State) -> list[Violation]:
    """Everything that is wrong, in words; nothing where all promises were kept."""
    return [
        *exactly_k(state),
        *leases(calls, state),
        *once_per_person(state),
        *judgements(calls, state),
        *replies(calls, state),
        *pauses(calls, state.journal),
    ]


def exactly_k(state: State) -> Violations:
    """At no moment are more people at a task than wanted, and the counters say how many are."""
    asked_for = list(_most_asked_for(state.journal))
    for task_id, changes in _by_task(state.journal).items():
        held = counted = 0
        wanted: int | None = None
        for group in _transactions(changes):
            late = [each for each in group if _moves(each, ("expired", "skipped"), "submitted")]
            for each in late:
                taken = held + counted
                has_place = wanted is not None and taken < wanted
                # The project may ask for fewer already, before its tasks have come to know.
                is_past = any(taken >= most for at, most in asked_for if abs(at - each.at) < SLACK)
                yield from _late(each, group, is_wanted=has_place, may_be_past=is_past)
            held += sum(_holds(each.after) - _holds(each.before) for each in group)
            counted += sum(_counts(each.after) - _counts(each.before) for each in group)
            rows = [each.after for each in group if each.kind == "task" and each.after]
            if not rows:
                continue
            row = rows[-1]
            wanted = row["wanted"]  # of gold there is none: it has no places
            if wanted is not None and (row["leased"], row["counted"]) != (held, counted):
                yield Violation("counters", f"task {task_id}: {row}, but {held} + {counted}")
            if wanted is not None and held + counted > wanted:
                yield Violation("too_many", f"task {task_id}: {held} + {counted} of {wanted}")
    held_now = Counter(each["task_id"] for each in state.assignments if _holds(each))
    counted_now = Counter(each["task_id"] for each in state.annotations if _counts(each))
    for task in state.tasks:
        now = held_now[task["id"]], counted_now[task["id"]]
        if task["kind"] == "ordinary" and (task["leased"], task["counted"]) != now:
            yield Violation("counters", f"in the end task {task['id']}: {task}, but {now}")


def _most_asked_for(journal: Iterable[Change]) -> Iterator[tuple[float, int]]:
    """When the project began to ask for so many judgements of a task at most."""
    for change in journal:
        if change.kind == "project" and change.before and change.after:
            yield change.at, change.after["overlap_max"]


def _late(
    change: Change, group: Sequence[Change], *, is_wanted: bool, may_be_past: bool
) -> Violations:
    """Late work is kept, and counts exactly where the task still wants it."""
    assert change.after is not None
    kept = [
        each.after
        for each in group
        if each.kind == "annotation"
        and each.after
        and each.after["assignment_id"] == change.after["id"]
    ]
    if not kept:
        yield Violation("late_lost", f"assignment {change.after['id']}")
    elif may_be_past and not kept[-1]["counted"]:
        return
    elif kept[-1]["counted"] != (is_wanted and not change.after["is_repeat"]):
        yield Violation("late_counted", f"assignment {change.after['id']}: {kept[-1]['counted']}")


def leases(calls: Iterable[Call], state: State) -> Violations:
    """Assignments go only where they may, and a lease ends early only at its holder's word."""
    words = {"release": "expired", "skip": "skipped", "submit": "submitted"}
    ends = {each["id"]: each["state"] for each in state.assignments}
    said: dict[tuple[str | None, str], float] = {}
    for call in calls:
        if call.op in words:
            about = call.assignment, words[call.op]
            said[about] = min(said.get(about, call.sent), call.sent)
        if call.op == "skip" and call.outcome == OK:
            end = ends.get(call.assignment or "")
            if end not in {"skipped", "submitted"}:
                yield Violation("skip_lost", f"assignment {call.assignment} is {end}")
    for change in state.journal:
        if change.kind != "assignment" or change.after is None:
            continue
        row, was = change.after, (change.before or {}).get("state")
        if (was, row["state"]) not in LEGAL:
            yield Violation("transition", f"assignment {row['id']}: {was} to {row['state']}")
        if was == row["state"] or row["state"] == "open":
            continue
        asked = said.get((row["id"], row["state"]), float("inf")) <= change.at
        has_run_out = change.due is not None and change.due <= change.at
        if not asked and not (row["state"] == "expired" and has_run_out):
            yield Violation("taken_away", f"assignment {row['id']} became {row['state']}")


def once_per_person(state: State) -> Violations:
    """Nobody has a task twice, and an assignment has one judgement in force."""
    for name, rows in (
        ("assignment", [each for each in state.assignments if not each["is_repeat"]]),
        ("judgement", [e for e in state.annotations if e["is_current"] and not e["is_repeat"]]),
    ):
        seen = Counter((each["user_id"], each["task_id"]) for each in rows)
        for (user, task), number in seen.items():
            if number > 1:
                yield Violation("twice", f"{user} has {number} {name}s of task {task}")
    by_assignment = defaultdict(list)
    for row in state.annotations:
        by_assignment[row["assignment_id"]].append(row)
    for assignment, rows in by_assignment.items():
        revisions = sorted(each["revision"] for each in rows)
        current = [each["revision"] for each in rows if each["is_current"]]
        if revisions != list(range(1, len(rows) + 1)) or current != revisions[-1:]:
            yield Violation("revisions", f"{assignment}: {revisions}, in force {current}")
    for each in state.assignments:
        if (each["state"] == "submitted") != (each["id"] in by_assignment):
            yield Violation("state", f"{each['id']} is {each['state']} against its judgements")


def judgements(calls: Iterable[Call], state: State) -> Violations:
    """What was acknowledged is there as it was sent, and what is there was sent by somebody."""
    by_key: dict[tuple[str, str | None], list[Call]] = defaultdict(list)
    for call in calls:
        if call.op == "submit":
            by_key[call.person, call.key].append(call)
    assignments = {each["id"]: each for each in state.assignments}
    stored = {each["id"]: each for each in state.annotations}
    for row in state.annotations:
        sent = by_key.get((row["user_id"], row["key"]), [])
        own = assignments.get(row["assignment_id"])
        if not sent or own is None or own["user_id"] != row["user_id"]:
            yield Violation("invented", f"judgement {row['id']}")
        elif not any(_is_what_was_sent(row, call, own["display_order"]) for call in sent):
            yield Violation("altered", f"judgement {row['id']}")
        elif all(call.outcome == FAIL for call in sent):
            yield Violation("refused_but_kept", f"judgement {row['id']}")
    for (person, key), sent in by_key.items():
        for call in sent:
            row = stored.get((call.answer or {}).get("id", "")) if call.outcome == OK else None
            if call.outcome == OK and row is None:
                yield Violation("lost", f"of {person} under {key}: {call.answer}")
            elif row is not None and (row["key"], row["user_id"]) != (key, person):
                yield Violation("answered_another", f"{person} under {key}: {call.answer}")


def _is_what_was_sent(row: dict[str, Any], call: Call, order: Sequence[int]) -> bool:
    body = call.body or {}
    ranks, better = [0] * len(order), 0
    for group in body["ranking"]:
        for label in group:
            ranks[order[ord(label) - ord("A")]] = better + 1
        better += len(group)
    return (row["assignment_id"], row["ranks"], row["rationale"]) == (
        call.assignment,
        ranks,
        body.get("rationale"),
    )


def replies(calls: Iterable[Call], state: State) -> Violations:
    """The same key is answered alike, a revision replaces the one it names, and once only."""
    told: dict[tuple[str, str | None], set[tuple[Any, ...]]] = defaultdict(set)
    keys: dict[tuple[str | None, int], set[str | None]] = defaultdict(set)
    owner = {each["id"]: each["user_id"] for each in state.assignments}
    for call in calls:
        if call.outcome != OK or call.answer is None:
            continue
        given = call.answer.get("next") if call.op == "submit" else call.answer.get("assignment")
        if given and owner.get(given) != call.person:
            yield Violation("not_hers", f"{call.person} was handed {given}")
        if call.op == "submit":
            answer = call.answer
            told[call.person, call.key].add((answer["id"], answer["revision"], answer["counted"]))
            keys[call.assignment, answer["revision"]].add(call.key)
            base = (call.body or {}).get("revision")
            if answer["revision"] > 1 and base != answer["revision"] - 1:
                yield Violation("stale", f"{call.assignment}: {answer} on {base}")
    for (person, key), answers in told.items():
        if len(answers) > 1:
            yield Violation("replies", f"{person} under {key}: {sorted(answers)}")
    for (assignment, revision), under in keys.items():
        if len(under) > 1:
            yield Violation("stale", f"{assignment}: revision {revision} under {len(under)} keys")


def pauses(calls: Iterable[Call], journal: Iterable[Change]) -> Violations:
    """Somebody who is paused is handed nothing, from the acknowledgement until she may go on."""
    spans: dict[str, list[list[float]]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.sent):
        if call.op == "pause" and call.outcome == OK:
            spans[call.person].append([call.ended, float("inf")])
        elif call.op == "resume" and spans[call.person]:
            spans[call.person][-1][1] = call.sent
    for change in journal:
        row = change.after
        if change.kind != "assignment" or row is None or row["state"] != "open":
            continue
        is_new = change.before is None or change.before["state"] != "open"
        if is_new and any(start < change.at < end for start, end in spans[row["user_id"]]):
            yield Violation("paused", f"{row['user_id']} was handed {row['id']}")


def _by_task(journal: Iterable[Change]) -> dict[str, list[Change]]:
    tasks: dict[str, list[Change]] = defaultdict(list)
    for change in journal:
        if change.kind == "project":
            continue
        row = change.after or change.before or {}
        tasks[row["id" if change.kind == "task" else "task_id"]].append(change)
    return tasks


def _transactions(changes: Iterable[Change]) -> list[list[Change]]:
    """The changes of each transaction, in the order in which the transactions ended."""
    groups: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        groups[change.tx].append(change)
    return sorted(groups.values(), key=lambda group: group[-1].seq)


def _moves(change: Change, before: Sequence[str], after: str) -> bool:
    if change.kind != "assignment" or change.before is None or change.after is None:
        return False
    return change.before["state"] in before and change.after["state"] == after


def _holds(row: dict[str, Any] | None) -> bool:
    return row is not None and row.get("state") == "open" and not row["is_repeat"]


def _counts(row: dict[str, Any] | None) -> bool:
    return row is not None and bool(row.get("counted")) and bool(row.get("is_current"))
