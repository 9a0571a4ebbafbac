"""Rows as tokens: what can be trained on, and what is left out and why."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.run_config import RunConfig
from app.trainer.chat import BadConversation, ChatFormat
from app.trainer.dataset import TEXT, Row, open_config, read_split
from app.trainer.failures import BadInput


@dataclass(frozen=True)
class Example:
    """A prompt and the responses to it, in tokens.

    `said` marks the tokens of each response that a loss may count (all, without it).
    """

    row: Row
    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    said: tuple[tuple[bool, ...], ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the longest line, prompt and response."""
        return len(self.prompt) + max((len(r) for r in self.responses), default=0)

    @property
    def targets(self) -> int:
        """Tokens that a loss may count."""
        return sum(len(wanted(self, r)) for r in range(len(self.responses)))

    @property
    def size(self) -> int:
        """Tokens when the prompt is shared."""
        return len(self.prompt) + sum(len(r) for r in self.responses)


def wanted(example: Example, response: int) -> Sequence[int]:
    """Columns of a response that are targets; a first token without a prompt has no source."""
    said = example.said[response] if example.said else None
    columns = range(len(example.responses[response]))
    return [c for c in columns if (said is None or said[c]) and (c > 0 or example.prompt)]


@dataclass(frozen=True)
class Limits:
    """What a model can read."""

    context: int  # most tokens in a row
    vocabulary: int  # token ids are below it


@dataclass
class Report:
    """What was read and what was left out, and why; ends up in result.json."""

    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    truncated: int = 0

    def drop(self, reason: str, where: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count
        self.first.setdefault(reason, where)

    def sentences(self, what: str = "rows") -> list[str]:
        found = [
            f"Left out {count} of {self.rows} {what}: {reason} (first: {self.first[reason]})."
            for reason, count in self.dropped.items()
        ]
        if self.truncated:
            found.append(f"Cut the end off {self.truncated} of {self.rows} {what}, as asked for.")
        return found

    def figures(self) -> dict[str, Any]:
        cut = {"truncated": self.truncated} if self.truncated else {}
        return {"rows": self.rows, "dropped": self.dropped, **cut}


def encode_rows(
    rows: Iterable[Row],
    encode: Callable[[Row], Example],
    *,
    max_length: int,
    limits: Limits,
    bad_rows: str,
) -> tuple[list[Example], Report]:
    """Tokenise rows; those that cannot be trained on are counted, never changed.

    Raises:
        BadInput: at the first such row with `bad_rows="stop"`.

    """
    report = Report()
    examples = []
    for row in rows:
        report.rows += 1
        cut = False
        try:
            reason = _pointless(row)
            if not reason:
                example = encode(row)
                if bad_rows == "truncate":
                    example, cut = shortened(example, max_length)
                reason = _unusable(example, max_length) or beyond(limits, example)
        except BadConversation as error:
            reason = str(error)
        if not reason:
            examples.append(example)
            report.truncated += cut
        elif bad_rows == "stop":
            raise BadInput(f"{row.where}: {reason}. Mend the row, or set bad_rows=drop.")
        else:
            report.drop(reason, row.where)
    return examples, report


def check_any_left(examples: Sequence[Example], report: Report) -> None:
    """Refuse a training split of which no row can be used; a test split may be without."""
    if report.rows and not examples:
        too_long = any("max_length" in r or "no room" in r for r in report.dropped)
        raise BadInput(
            f"None of the {report.rows} rows can be used. {' '.join(report.sentences())} "
            + ("Raise max_length, or choose other data." if too_long else "Choose other data.")
        )


@dataclass(frozen=True)
class Data:
    """The encoded splits of a dataset config, and what could not be used."""

    train: list[Example]
    test: list[Example]
    figures: dict[str, Any]  # for result.json
    sentences: list[str]  # for people

    def fingerprint(self) -> str:
        """A hash of the training tokens in their order."""
        digest = hashlib.sha256()
        for example in self.train:
            digest.update(repr((example.prompt, example.responses)).encode())
        return digest.hexdigest()

    def judgements(self) -> str:
        """A hash of what the training rows say of those tokens, and of how much each counts."""
        digest = hashlib.sha256()
        for row in (example.row for example in self.train):
            said = (row.ranks, row.p, row.margin, row.weight, row.label, row.ratings, row.raters)
            digest.update(repr(said).encode())
        return digest.hexdigest()


def read_examples(
    dataset: Path,
    config: RunConfig,
    *,
    purpose: str,
    to_row: Callable[[str, dict[str, Any]], Row],
    encode: Callable[[Row], Example],
    limits: Limits,
    more: Callable[[str], Iterable[Row]] = lambda _split: (),
) -> Data:
    """Read and tokenise the train and test split of the config that fits the purpose.

    `more` are rows of a split from elsewhere, asked for when its own have been read.

    Raises:
        BadInput: for a missing folder, a malformed row, or when no row can be used.

    """
    folder = open_config(dataset, purpose=purpose, wanted=config.dataset_config)
    splits: dict[str, list[Example]] = {}
    figures: dict[str, Any] = {"config": folder.name}
    sentences = []
    max_length = min(config.max_length, limits.context)
    if max_length < config.max_length:
        sentences.append(f"The model sees at most {max_length} tokens, less than max_length.")
    for split in ("train", "test"):
        rows = [to_row(where, record) for where, record in read_split(folder, split)]
        rows += more(split)
        available = len(rows)
        if split == "test" and config.max_eval_samples:
            rows = rows[: config.max_eval_samples]
        if split == "train" and not rows:
            raise BadInput(f"{folder} has no training rows. Lower the recipe's test_share.")
        splits[split], report = encode_rows(
            rows,
            encode,
            max_length=max_length,
            limits=limits,
            bad_rows=config.bad_rows,
        )
        if split == "train":
            check_any_left(splits[split], report)
        figures[split] = report.figures() | {
            "available": available,
            "tokens": sum(example.size for example in splits[split]),
            "longest": max((example.length for example in splits[split]), default=0),
        }
        sentences += report.sentences()
    weightless = sum(example.row.weight == 0 for example in splits["train"])
    if weightless and getattr(config, "use_weights", False):
        sentences.append(f"{weightless} of {len(splits['train'])} rows have weight 0: no use.")
    if not splits["test"]:
        usable = "usable " if figures["test"]["rows"] else ""
        sentences.append(f"{folder.name} has no {usable}test rows: nothing will be evaluated.")
    return Data(splits["train"], splits["test"], figures, sentences)


INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})  # controls, formats (zero width), separators


def is_blank(text: str) -> bool:
    """Whether nobody could see anything of it: nothing at all, white space, zero width, NUL."""
    return all(unicodedata.category(character) in INVISIBLE for character in text)


def _pointless(row: Row) -> str:
    """Why nothing can be learned from a row, as far as its words show it."""
    if any(is_blank(m["content"]) for reply in row.replies for m in reply):
        return "a response is empty"
    if row.replies:
        last = row.prompt[-1] if row.prompt else {"role": "user", "content": ""}
        if last["role"] == "assistant":
            return "the prompt ends with the assistant's own turn"
        if is_blank(last["content"]):
            return "the prompt is empty"
    if len(row.replies) > 1 and all(reply == row.replies[0] for reply in row.replies):
        return "its responses are all the same"
    return ""


def shortened(example: Example, max_length: int) -> tuple[Example, bool]:
    """The example with the ends of its responses cut off at `max_length`, and whether any was."""
    room = max_length - len(example.prompt)
    if example.length <= max_length or room < 1:
        return example, False
    responses = tuple(response[:room] for response in example.responses)
    if _contradicts(example.row.ranks, responses) or len(responses) > len(set(responses)) == 1:
        raise BadConversation(f"its responses differ only beyond max_length = {max_length} tokens")
    said = tuple(mask[:room] for mask in example.said)
    return replace(example, responses=responses, said=said), True


def _unusable(example: Example, max_length: int) -> str:
    if not example.prompt and example.responses and not example.said:
        return "the prompt is empty"
    if len(example.prompt) >= max_length:
        return f"the prompt alone is longer than max_length = {max_length} tokens"
    if example.length > max_length:
        return f"longer than max_length = {max_length} tokens"
    if example.said and not any(any(mask) for mask in example.said):
        return "there is no assistant message to learn from"
    if example.said and not example.targets:
        return "it is a single token, which nothing comes before"
    return ""


def beyond(limits: Limits, example: Example) -> str:
    """Why the model cannot read these tokens, if so: a tokenizer may know more than its model."""
    if example.length > limits.context:
        return f"longer than the {limits.context} tokens that the model reads"
    highest = max((max(ids, default=0) for ids in (example.prompt, *example.responses)), default=0)
    if highest < limits.vocabulary:
        return ""
    return f"the tokenizer writes tokens beyond the {limits.vocabulary} that the model knows"


def encode_conversation(row: Row, chat: ChatFormat) -> Example:
    """For SFT: everything up to the first assistant token is prompt, the rest one response."""
    if row.prompt[0]["role"] == TEXT:
        if is_blank(row.prompt[0]["content"]):
            raise BadConversation("the text is empty")
        text = tuple(chat.text_ids(row.prompt[0]["content"]))
        return Example(row, (), (text,), ((True,) * len(text),))
    if any(m["role"] == "assistant" and is_blank(m["content"]) for m in row.prompt):
        raise BadConversation("a response is empty")
    ids, said = chat.conversation(row.prompt)
    first = said.index(True) if True in said else len(ids)
    if first == len(ids):
        raise BadConversation("there is no assistant message to learn from")
    return Example(row, tuple(ids[:first]), (tuple(ids[first:]),), (tuple(said[first:]),))


def encode_responses(row: Row, chat: ChatFormat, *, ties: str = "half") -> Example:
    """For reward models and DPO: one prompt, its responses; `ties="drop"` needs a strict pair."""
    replies = tuple(tuple(chat.reply_ids(row.prompt, reply)) for reply in row.replies)
    if row.ranks:
        _check_ranks(row.ranks, replies, ties)
    return Example(row, tuple(chat.prompt_ids(row.prompt)), replies)


def _check_ranks(ranks: Sequence[int], replies: Sequence[tuple[int, ...]], ties: str) -> None:
    """Refuse a comparison that says nothing, or contradicts itself."""
    different = len(set(replies))
    if len(replies) < 2:
        raise BadConversation("it has only one response")
    if different == 1:
        raise BadConversation("its responses are all the same")
    if ties == "drop" and len(set(ranks)) == 1:
        raise BadConversation("all its responses are tied")
    if _contradicts(ranks, replies):
        raise BadConversation("the same response stands at two ranks")


def _contradicts(ranks: Sequence[int], replies: Sequence[tuple[int, ...]]) -> bool:
    """Whether a response is better than itself."""
    return bool(ranks) and len(set(zip(replies, ranks, strict=True))) > len(set(replies))


def encode_prompt(row: Row, chat: ChatFormat, longest: int) -> Example:
    """For PPO and generation: a prompt without responses, which leaves room for one."""
    if not row.prompt or is_blank(row.prompt[-1]["content"]):
        raise BadConversation("the prompt is empty")
    if row.prompt[-1]["role"] == "assistant":
        raise BadConversation("the prompt ends with the assistant's own turn")
    ids = chat.prompt_ids(row.prompt)
    if len(ids) > longest:
        raise BadConversation(
            f"the prompt leaves no room for a response ({longest} tokens at most)"
        )
    return Example(row, tuple(ids), ())
