"""A dataset folder as rows: `CONFIG/train.jsonl.gz`, `.jsonl` or `.parquet`, likewise test."""

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from app.trainer.chat import BadConversation, Message, parse_transcript
from app.trainer.failures import BadInput

TEXT = "text"  # the role of a text that is no conversation
LARGEST = 1e30  # of the numbers in a row: losses add up some of them in 32 bit
SUFFIXES = (".jsonl.gz", ".jsonl", ".parquet")
WANTED = {
    "sft": ("sft",),
    "reward": ("ranking", "preference", "hh-rlhf"),
    "dpo": ("preference", "hh-rlhf"),
    "kto": ("unpaired",),
    "ppo": ("prompts",),
}


@dataclass(frozen=True)
class Row:
    """One example in words.

    `ranks` are those of the replies (1 = best, equal = tie), none where they were only rated; for a
    pair `p` is the share of votes for the first. `strength`, `agreement` and `votes` (people, 0
    where nobody said) only describe. `ratings` are means by reply and criterion of `raters` people.
    `where` names file and line for reports.
    """

    where: str
    prompt: tuple[Message, ...]
    replies: tuple[tuple[Message, ...], ...] = ()
    ranks: tuple[int, ...] = ()
    p: float = 1.0
    margin: float = 0.0
    weight: float = 1.0
    label: bool = True
    strength: float | None = None
    agreement: float | None = None
    votes: int = 0
    ratings: tuple[tuple[float | None, ...], ...] = ()
    raters: tuple[float, ...] = ()


def open_config(folder: Path, *, purpose: str, wanted: str | None) -> Path:
    """The folder of the config to read.

    Raises:
        BadInput: naming what is there, when there is none that fits.

    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise BadInput(f"The dataset folder {folder} {problem}.")
    names = (wanted,) if wanted else WANTED[purpose]
    for name in names:
        if _split_file(folder / name, "train"):
            return folder / name
    if not wanted and _split_file(folder, "train"):
        return folder  # one config, handed in directly
    for name in names:
        if _split_file(folder / name, "test"):
            raise BadInput(
                f"{folder / name} has only a test split, and nothing to train on. Lower the "
                "recipe's test_share."
            )
    there = sorted(p.name for p in folder.iterdir() if p.is_dir() and _split_file(p, "train"))
    has = f"it has {', '.join(there)}" if there else "it has no folder with a train file at all"
    raise BadInput(
        f"{folder} has no {' or '.join(names)} folder with train.jsonl.gz; {has}. "
        "Freeze a snapshot that includes it, or choose one with dataset_config."
    )


def read_split(config: Path, split: str) -> list[tuple[str, dict[str, Any]]]:
    """The rows of one split with "file:line"; empty when there is no such file."""
    path = _split_file(config, split)
    return list(read_records(path)) if path else []


def _split_file(config: Path, split: str) -> Path | None:
    found = [file for s in SUFFIXES if (file := config / f"{split}{s}").is_file()]
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise BadInput(f"{config} has {names}: which one is meant? Move the others away.")
    return found[0] if found else None


def read_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in a JSON lines or Parquet file, each with "folder/file line n"."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415 - slow to load and rarely needed

        try:
            records = pq.read_table(path).to_pylist()
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")  # Arrow's have several lines
            raise BadInput(f"{path} cannot be read: {reason}.") from error
        for number, record in enumerate(records, 1):
            yield f"{path.parent.name}/{path.name} row {number}", record
        return
    for number, line in read_lines(path):
        yield f"{path.parent.name}/{path.name} line {number}", parse_line(path, number, line)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Non-empty lines of a text file, plain or gzip, with their numbers from 1."""
    if not path.is_file():
        raise BadInput(f"The file {path} does not exist.")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        # Windows writes a mark before the first line; what is no UTF-8 comes as half characters
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                if not _is_utf_8(line):
                    raise BadInput(
                        f"{path} line {number} is not UTF-8 text. Save the file as UTF-8."
                    )
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}.") from error


def refuse_same(file: Path, output: Path | None) -> None:
    """Stop where a command would write over what it reads."""
    if output and output.resolve() == file.resolve():
        raise BadInput(f"--output {output} is the file that is read. Choose another --output.")


def _is_utf_8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    """One JSON object, or a sentence that names file and line."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        why = f"{error.msg} at character {error.pos + 1}"
        raise BadInput(f"{path} line {number} is not JSON: {why}. Mend the line.") from error
    except ValueError as error:  # of whole numbers that Python does not read
        raise BadInput(f"{path} line {number} has a number of too many digits.") from error
    except RecursionError as error:
        raise BadInput(f"{path} line {number} is nested too deeply to be read.") from error
    if not isinstance(record, dict):
        raise BadInput(f"{path} line {number} is not a JSON object.")
    return record


# -- records → rows ---------------------------------------------------------------------------


def sft_row(where: str, record: Mapping[str, Any]) -> Row:
    """`{messages}`, `{prompt, completion}`, or `{text}`, which is learned whole."""
    if record.get("messages") is not None:  # Parquet has every column in every row
        messages = with_system(record, where, as_messages(record["messages"], where, "messages"))
    elif isinstance(record.get("text"), str):
        messages = ({"role": TEXT, "content": record["text"]},)
    elif record.get("prompt") is not None and record.get("completion") is not None:
        prompt = with_system(record, where, as_messages(record["prompt"], where, "prompt"))
        messages = (*prompt, *as_reply(record["completion"], where, "completion"))
    else:
        need(record, where, "messages", ("messages",), ("prompt", "completion"), ("text",))
        raise BadInput(f"{where}: text must be text, not {brief(record['text'])}.")
    return Row(where, messages)


def comparison_row(where: str, record: Mapping[str, Any]) -> Row:
    """A pair or a ranking, in any shape that the folder's configs have.

    `{prompt, responses, ranks}`, `{prompt, chosen, rejected}`, or `{chosen, rejected}` as whole
    conversations (messages or HH transcripts), which are split where they part.
    """
    given: dict[str, Any] = {
        "weight": number(record, where, "weight", 1.0),
        "agreement": optional(record, where, "agreement", at_most=1.0),
        "votes": int(number(record, where, "n_annotators", 0)),
    }
    if "responses" in record:
        need(record, where, "ranking", ("prompt", "responses", "ranks"))
        replies = as_replies(record["responses"], where)
        ranks = as_ranks(record["ranks"], where)
        if len(ranks) != len(replies) or not replies:
            raise BadInput(f"{where}: a ranking needs responses and a rank for each.")
        prompt = with_system(record, where, as_messages(record["prompt"], where, "prompt"))
        return Row(where, prompt, replies, ranks, **given)
    need(record, where, "preference", ("chosen", "rejected"))
    if record.get("prompt") is not None:
        prompt = as_messages(record["prompt"], where, "prompt")
        chosen = as_reply(record["chosen"], where, "chosen")
        rejected = as_reply(record["rejected"], where, "rejected")
    else:
        prompt, chosen, rejected = split_conversations(
            as_messages(record["chosen"], where, "chosen"),
            as_messages(record["rejected"], where, "rejected"),
            where,
        )
    return Row(
        where,
        with_system(record, where, prompt),
        (chosen, rejected),
        (1, 2),
        p=number(record, where, "p", 1.0, at_most=1.0),
        margin=number(record, where, "margin", 0.0, at_least=-math.inf),
        strength=optional(record, where, "strength", at_least=-math.inf),
        **given,
    )


def unpaired_row(where: str, record: Mapping[str, Any]) -> Row:
    """`{prompt, completion, label}`."""
    need(record, where, "unpaired", ("prompt", "completion", "label"))
    if record["label"] not in (True, False):
        raise BadInput(f"{where}: label must be true or false, not {brief(record['label'])}.")
    return Row(
        where,
        with_system(record, where, as_messages(record["prompt"], where, "prompt")),
        (as_reply(record["completion"], where, "completion"),),
        label=bool(record["label"]),
        weight=number(record, where, "weight", 1.0),
    )


def prompt_row(where: str, record: Mapping[str, Any]) -> Row:
    """`{prompt}`, or `{messages}` that end with the person's turn."""
    key = "messages" if record.get("prompt") is None else "prompt"
    need(record, where, "prompts", ("prompt",), ("messages",))
    return Row(where, with_system(record, where, as_messages(record[key], where, key)))


def with_system(
    record: Mapping[str, Any], where: str, messages: tuple[Message, ...]
) -> tuple[Message, ...]:
    """The conversation behind the system prompt that stands beside it, where there is one."""
    system = record.get("system")
    if not isinstance(system, str | None):
        raise BadInput(f"{where}: system must be text, not {brief(system)}.")
    return ({"role": "system", "content": system}, *messages) if system else messages


def need(record: Mapping[str, Any], where: str, what: str, *choices: Sequence[str]) -> None:
    """Stop with a sentence unless one of the sets of keys is complete."""
    if any(all(record.get(key) is not None for key in keys) for keys in choices):
        return
    wanted = " or ".join("{" + ", ".join(keys) + "}" for keys in choices)
    missing = [key for key in choices[0] if record.get(key) is None]
    article = "an" if what.startswith("u") else "a"
    raise BadInput(
        f"{where} has no {' and no '.join(missing)}: {article} {what} row is {wanted}, "
        f"this one has {printable(', '.join(sorted(record))) or 'nothing'}."
    )


def printable(text: str) -> str:
    """The text with its halves of characters, which no file can hold, as their escapes."""
    return text.encode(errors="backslashreplace").decode()


def number(
    record: Mapping[str, Any],
    where: str,
    key: str,
    default: float,
    *,
    at_least: float = 0.0,
    at_most: float = math.inf,
) -> float:
    value = record.get(key)
    if value is None:
        return default
    # compared, because JSON has whole numbers that no float holds
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise BadInput(f"{where}: {key} must be a number, not {brief(value)}.")
    if abs(value) > LARGEST:
        raise BadInput(f"{where}: {key} is too large a number; {LARGEST:g} is the most.")
    if not at_least <= value <= at_most:
        limits = f"from {at_least:g} to {at_most:g}" if at_most < math.inf else "not below 0"
        raise BadInput(f"{where}: {key} must be {limits}, and is {value:g}.")
    return float(value)


def optional(record: Mapping[str, Any], where: str, key: str, **limits: float) -> float | None:
    """The same where None means that nobody said."""
    return None if record.get(key) is None else number(record, where, key, 0.0, **limits)


def as_ranks(value: Any, where: str) -> tuple[int, ...]:
    """Whole numbers, 1 = best; equal ones are a tie."""
    if not isinstance(value, list) or any(
        isinstance(rank, bool) or not isinstance(rank, int | float) or rank % 1 for rank in value
    ):
        raise BadInput(f"{where}: ranks must be a list of whole numbers, not {brief(value)}.")
    return tuple(int(rank) for rank in value)


def as_replies(value: Any, where: str) -> tuple[tuple[Message, ...], ...]:
    """The replies of a ranking."""
    if not isinstance(value, list):
        raise BadInput(f"{where}: responses must be a list.")
    return tuple(as_reply(reply, where, "responses") for reply in value)


def as_messages(value: Any, where: str, key: str) -> tuple[Message, ...]:
    """Messages from messages, from an HH transcript, or from a person's plain text."""
    if isinstance(value, str):
        if value.lstrip("\n").startswith(("Human:", "Assistant:")):
            try:
                messages = parse_transcript(value)
            except BadConversation as error:
                raise BadInput(f"{where}: {key}: {error}.") from error
            if key == "prompt" and messages and not messages[-1]["content"]:
                messages = messages[:-1]  # a transcript that ends with "Assistant:"
            return tuple(messages)
        return ({"role": "user", "content": value},)
    return _messages(value, where, key)


def as_reply(value: Any, where: str, key: str) -> tuple[Message, ...]:
    """A reply from messages or from plain text."""
    if isinstance(value, str):
        return ({"role": "assistant", "content": value},)
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return ({"role": "assistant", "content": value["text"]},)
    messages = _messages(value, where, key)
    if messages[0]["role"] not in ("assistant", "tool"):
        raise BadInput(
            f"{where}: {key} begins with the role {messages[0]['role']!r}, where the assistant "
            "should answer."
        )
    return messages


def _messages(value: Any, where: str, key: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise BadInput(f"{where}: {key} must be text or a list of messages that is not empty.")
    for message in value:
        if (
            not isinstance(message, dict)
            or not isinstance(message.get("role"), str)
            or not isinstance(message.get("content"), str)
        ):
            raise BadInput(f"{where}: each message in {key} needs a role and content in text.")
        if message["role"] not in ("system", "user", "assistant", "tool", "developer"):
            raise BadInput(f"{where}: {key} has the unknown role {brief(message['role'])}.")
    return tuple({"role": m["role"], "content": m["content"]} for m in value)


def split_conversations(
    chosen: tuple[Message, ...], rejected: tuple[Message, ...], where: str
) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]:
    """`(prompt, chosen, rejected)`: the shared turns, up to the reply in which they part."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    while shared > 0 and chosen[shared]["role"] != "assistant":
        shared -= 1  # they part in a person's turn: compare from the reply before it
    if shared == 0 or chosen[shared]["role"] != rejected[shared]["role"]:
        raise BadInput(f"{where}: chosen and rejected do not answer the same prompt.")
    return chosen[:shared], chosen[shared:], rejected[shared:]
