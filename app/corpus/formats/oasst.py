"""`oasst` (Köpf et al. 2023): trees of messages, whose replies people have ranked.

Three shapes: a tree per line (`….trees.jsonl`); a message per line (`….messages.jsonl`, and the
Parquet files), where the messages of a tree stand together; and a ranking per line, with its
conversation and replies. Each turn with two or more ranked replies is one task.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.corpus.formats.lines import Limits, Line
from app.corpus.formats.rows import (
    BadLine,
    ImportedAnnotation,
    ImportedResponse,
    ImportedTask,
    Message,
)
from app.corpus.formats.values import (
    check_responses,
    further_keys,
    identifier_of,
    is_true,
    kind,
    model_source,
    needed_text,
    number_of,
    opened,
    ranks_by_score,
    text_of,
)

Row = Mapping[str, Any]
Outcome = ImportedTask | str  # a task, or why there is none
Read = tuple[Line, Outcome]

JUDGE = "dataset:oasst"
ROLES = {"prompter": "user", "assistant": "assistant"}
TREE_IDS = ("message_tree_id", "tree_id")
MOST_MESSAGES = 100_000  # of one tree
MOST_TURNS = 256
NOTHING_RANKED = (
    "No message of this tree has two or more ranked replies of the assistant, so there is "
    "nothing to compare."
)
NO_SHAPE = (
    "This line is neither a tree (“prompt” with “replies”), nor a message (“message_id”, "
    "“parent_id”, “text”, “role”), nor a ranking (“conversation” with “replies”)."
)
# What the task says itself: texts and ranks, and by its conversation the place in the tree.
MESSAGE_KEYS = frozenset({"text", "role", "replies", "rank", "model_name", "parent_id", "lang"})
TREE_KEYS = frozenset({"prompt", "conversation", "replies", "parent_id", "lang"})


def is_tree(row: Row) -> bool:
    prompt = row.get("prompt")
    return isinstance(prompt, dict) and not {"replies", "message_id"}.isdisjoint(prompt)


def is_ranking(row: Row) -> bool:
    return isinstance(row.get("conversation"), list) and isinstance(row.get("replies"), list)


def is_message(row: Row) -> bool:
    role = row.get("role")
    return isinstance(role, str) and role in ROLES and {"message_id", "text"} <= row.keys()


def is_oasst(row: Row) -> bool:
    return is_tree(row) or is_ranking(row) or is_message(row)


@dataclass
class Trees:
    """Reads lines of `oasst`; messages are kept until their tree is whole."""

    limits: Limits
    tree_id: str | None = None
    waiting: list[Line] = field(default_factory=list)
    size: int = 0

    def read(self, line: Line) -> Iterator[Read]:
        """What is known now: the line's own tasks, or those of the tree before it."""
        row = line.row or {}
        if is_message(row):
            yield from self._keep(line, row)
            return
        yield from self.end()
        if is_tree(row):
            about = further_keys(row, TREE_KEYS)
            for _, outcome in _outcomes(row["prompt"], about=about):
                yield line, outcome
        elif is_ranking(row):
            yield line, _ranking(row)
        else:
            yield line, NO_SHAPE

    def _keep(self, line: Line, row: Row) -> Iterator[Read]:
        tree_id = next((str(row[name]) for name in TREE_IDS if row.get(name) is not None), None)
        if tree_id is None:
            yield line, "“message_tree_id” is missing: to which tree does this message belong?"
            return
        if tree_id != self.tree_id:
            yield from self.end()
            self.tree_id = tree_id
        self.waiting.append(line)
        self.size += line.size
        if self.size > self.limits.line_bytes or len(self.waiting) > MOST_MESSAGES:
            message = (
                f"The tree {tree_id[:80]} has more than {self.limits.line_bytes // 10**6:,} MB or "
                f"{MOST_MESSAGES:,} messages. That is too much to be one conversation."
            )
            refused, self.waiting, self.size = self.waiting, [], 0
            yield from ((each, message) for each in refused)

    def end(self) -> Iterator[Read]:
        """The tasks of the messages that wait for the end of their tree."""
        waiting, self.waiting, self.size, self.tree_id = self.waiting, [], 0, None
        if waiting:
            yield from _put_together(waiting)


def _put_together(lines: list[Line]) -> Iterator[Read]:
    """The tasks of one tree by its messages; those that hang in the air are refused."""
    rows = {id(row): (line, row) for line in lines for row in [dict(line.row or {})]}
    by_id: dict[str, dict[str, Any]] = {}
    for line, row in rows.values():
        message_id = str(row["message_id"])
        if message_id in by_id:
            yield line, f"The message {message_id[:80]} stands twice in its tree."
            continue
        by_id[message_id] = row
        row["replies"] = []
    roots, reached = [], set()
    for row in by_id.values():
        parent = by_id.get(str(row.get("parent_id")))
        if row.get("parent_id") is None:
            roots.append(row)
        elif parent is not None and parent is not row:
            parent["replies"].append(row)
    for root in roots:
        reached |= {id(row) for row in _below(root)}
        for message, outcome in _outcomes(root, about={}):
            yield rows[id(message)][0], outcome
    for row in by_id.values():
        if id(row) not in reached:
            yield rows[id(row)][0], _adrift(row, by_id)


def _below(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [root]
    while waiting:
        row = waiting.pop()
        yield row
        waiting += row["replies"]


def _adrift(row: Row, by_id: Mapping[str, Any]) -> str:
    parent_id = str(row.get("parent_id"))
    if parent_id in by_id:
        return f"It replies to the message {parent_id[:80]}, which hangs in the air itself."
    return (
        f"It replies to the message {parent_id[:80]}, which is not among those of its tree that "
        "stand together. Is it missing? If the tree is spread over the file, sort the file by "
        "“message_tree_id”."
    )


def _outcomes(root: Any, *, about: dict[str, Any]) -> Iterator[tuple[Any, Outcome]]:
    """A task for every turn with two or more ranked replies, with the message it answers."""
    waiting: list[tuple[Any, list[Message]]] = [(root, [])]
    is_empty = True
    while waiting:
        message, before = waiting.pop()
        try:
            conversation = [*before, _turn(message, number=len(before) + 1)]
            replies = _replies(message)
            waiting += [(each, conversation) for each in reversed(replies)]
            ranked = [each for each in replies if _is_ranked(each)]
            if conversation[-1]["role"] == "user" and len(ranked) >= 2:
                is_empty = False
                yield message, _task(conversation, ranked, answered=message, about=about)
        except BadLine as error:
            is_empty = False
            yield message, str(error)
    if is_empty:
        yield root, NOTHING_RANKED


def _turn(message: Any, *, number: int) -> Message:
    if number > MOST_TURNS:
        raise BadLine(f"A conversation of this tree has more than {MOST_TURNS} turns.")
    if not isinstance(message, dict):
        raise BadLine(f"A message must be an object {{text, role}}, not {kind(message)}.")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadLine(f"A message has the role {role!r}; use prompter or assistant.")
    return {"role": ROLES[role], "content": needed_text(message, "text")}


def _replies(message: Row) -> list[Any]:
    replies = message.get("replies") or []
    if not isinstance(replies, list):
        raise BadLine(f"“replies” must be a list of messages, not {kind(replies)}.")
    return replies


def _is_ranked(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role", "assistant") == "assistant"  # in a ranking all replies are
        and message.get("rank") is not None
        and not is_true(message.get("deleted"))
    )


def _ranking(row: Row) -> Outcome:
    """A line with a conversation and the replies to it, as rankings are published alone."""
    try:
        conversation = [_turn(each, number=n) for n, each in enumerate(row["conversation"], 1)]
        ranked = [each for each in row["replies"] if _is_ranked(each)]
        if len(ranked) < 2:
            return "Fewer than two of the “replies” have a “rank”, so nothing is compared."
        answered = {"message_id": row.get("parent_id"), "lang": row.get("lang")}
        return _task(conversation, ranked, answered=answered, about=further_keys(row, TREE_KEYS))
    except BadLine as error:
        return str(error)


def _task(
    conversation: list[Message], ranked: list[dict[str, Any]], *, answered: Row, about: Row
) -> ImportedTask:
    """The replies are listed best first, so their order tells which one that is."""
    messages, system = opened(conversation, system=None)
    responses = [_response(each) for each in ranked]
    check_responses(responses)
    ranks = ranks_by_score([-(number_of(each, "rank") or 0) for each in ranked])
    return ImportedTask(
        messages=messages,
        system=system,
        responses=responses,
        order_tells=True,
        annotations=[ImportedAnnotation(annotator=JUDGE, ranks=ranks)],
        external_id=identifier_of(answered, "message_id"),
        language=text_of(answered, "lang"),
        meta={**about, **further_keys(answered, MESSAGE_KEYS | {"message_id"})},
    )


def _response(message: Row) -> ImportedResponse:
    return ImportedResponse(
        text=needed_text(message, "text"),
        source=model_source(message.get("model_name")),
        meta=further_keys(message, MESSAGE_KEYS),
    )
