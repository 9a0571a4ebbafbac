"""Rows as tokens, in batches that waste no padding.

A `Layout` is what a forward pass reads. Packed, many examples lie one behind the other in a single
line of tokens and a mask keeps them apart; the responses to one prompt share its tokens. Padded,
each response is a line of its own, for models that cannot take such a mask. Losses see no
difference.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.run_config import RunConfig
from app.trainer.chat import BadConversation, ChatFormat
from app.trainer.dataset import Row, open_config, read_split
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
        return sum(len(_wanted(self, r)) for r in range(len(self.responses)))

    @property
    def size(self) -> int:
        """Tokens when the prompt is shared."""
        return len(self.prompt) + sum(len(r) for r in self.responses)


@dataclass(frozen=True)
class Forward:
    """How forward passes are made; it changes speed and memory, not results."""

    packed: bool
    max_tokens: int
    bf16: bool

    @classmethod
    def of(cls, config: RunConfig, device: torch.device, *, packable: bool) -> "Forward":
        """0 tokens means what suits the device: attention grows with the square of a pack."""
        usual = 1024 if device.type == "cpu" else 8192
        return cls(
            packed=config.packing and packable,
            max_tokens=config.max_tokens_per_forward or usual,
            bf16=config.bf16,
        )


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

    def drop(self, reason: str, where: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count
        self.first.setdefault(reason, where)

    def sentences(self, what: str = "rows") -> list[str]:
        return [
            f"Left out {count} of {self.rows} {what}: {reason} (first: {self.first[reason]})."
            for reason, count in self.dropped.items()
        ]


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
        BadInput: at the first such row with `bad_rows="stop"`, or when none is left.

    """
    report = Report()
    examples = []
    for row in rows:
        report.rows += 1
        reason = ""
        try:
            if any(not m["content"].strip() for reply in row.replies for m in reply):
                reason = "a response is empty"
            else:
                example = encode(row)
                reason = _unusable(example, max_length) or beyond(limits, example)
        except BadConversation as error:
            reason = str(error)
        if not reason:
            examples.append(example)
        elif bad_rows == "stop":
            raise BadInput(f"{row.where}: {reason}. Mend the row, or set bad_rows=drop.")
        else:
            report.drop(reason, row.where)
    if report.rows and not examples:
        too_long = any("max_length" in r or "no room" in r for r in report.dropped)
        raise BadInput(
            f"None of the {report.rows} rows can be used. {' '.join(report.sentences())} "
            + ("Raise max_length, or choose other data." if too_long else "Choose other data.")
        )
    return examples, report


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


def read_examples(
    dataset: Path,
    config: RunConfig,
    *,
    purpose: str,
    to_row: Callable[[str, dict[str, Any]], Row],
    encode: Callable[[Row], Example],
    limits: Limits,
) -> Data:
    """Read and tokenise the train and test split of the config that fits the purpose.

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
        figures[split] = {"rows": report.rows, "dropped": report.dropped}
        sentences += report.sentences()
    if not splits["test"]:
        sentences.append(f"{folder.name} has no test rows: nothing will be evaluated.")
    return Data(splits["train"], splits["test"], figures, sentences)


def _unusable(example: Example, max_length: int) -> str:
    if not example.prompt and example.responses and not example.said:
        return "the prompt is empty"
    if len(example.prompt) >= max_length:
        return f"the prompt alone is longer than max_length = {max_length} tokens"
    if example.length > max_length:
        return f"longer than max_length = {max_length} tokens"
    if example.said and not any(any(mask) for mask in example.said):
        return "there is no assistant message to learn from"
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
    if any(m["role"] == "assistant" and not m["content"].strip() for m in row.prompt):
        raise BadConversation("a response is empty")
    ids, said = chat.conversation(row.prompt)
    first = said.index(True) if True in said else len(ids)
    if first == len(ids):
        raise BadConversation("there is no assistant message to learn from")
    return Example(row, tuple(ids[:first]), (tuple(ids[first:]),), (tuple(said[first:]),))


def encode_responses(row: Row, chat: ChatFormat, *, ties: str = "half") -> Example:
    """For reward models and DPO: one prompt, its responses; `ties="drop"` needs a strict pair."""
    if ties == "drop" and len(set(row.ranks)) == 1:
        raise BadConversation("all its responses are tied")
    replies = tuple(tuple(chat.reply_ids(row.prompt, reply)) for reply in row.replies)
    return Example(row, tuple(chat.prompt_ids(row.prompt)), replies)


def encode_prompt(row: Row, chat: ChatFormat, longest: int) -> Example:
    """For PPO and generation: a prompt without responses, which leaves room for one."""
    ids = chat.prompt_ids(row.prompt)
    if len(ids) > longest:
        raise BadConversation(
            f"the prompt leaves no room for a response ({longest} tokens at most)"
        )
    return Example(row, tuple(ids), ())


# -- order ------------------------------------------------------------------------------------


class Sampler:
    """Which examples belong to which update; a pure function of seed and step, so it resumes."""

    def __init__(
        self, lengths: Sequence[int], *, batch: int, seed: int, shuffle: bool, group: bool
    ) -> None:
        self.lengths, self.batch_size = lengths, batch
        self.seed, self.shuffle, self.group = seed, shuffle, group
        self.steps_per_epoch = -(-len(lengths) // batch)
        self._epoch, self._batches = -1, list[list[int]]()

    def batch(self, step: int) -> list[int]:
        """Indices of the examples of update `step`, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._order(epoch)
        return self._batches[place]

    def visited(self, steps: int) -> list[int]:
        """Every index that the first `steps` updates use, in order."""
        if steps >= self.steps_per_epoch:
            return list(range(len(self.lengths)))
        return sorted({i for step in range(steps) for i in self.batch(step)})

    def state(self, step: int) -> dict[str, int]:
        """Where a run stands in its data; the order follows from it."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return {"step": step, "seed": self.seed, "epoch": epoch, "place": place}

    def _order(self, epoch: int) -> list[list[int]]:
        count, size = len(self.lengths), self.batch_size
        if not self.shuffle:
            return [list(range(i, min(i + size, count))) for i in range(0, count, size)]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order: list[int] = torch.randperm(count, generator=generator).tolist()
        if self.group:  # sort inside stretches of 16 batches: near equal lengths, still mixed
            span = 16 * size
            stretches = (order[i : i + span] for i in range(0, count, span))
            order = [i for part in stretches for i in sorted(part, key=self.lengths.__getitem__)]
        batches = [order[i : i + size] for i in range(0, count, size)]
        if self.group:
            mixed = torch.randperm(len(batches), generator=generator).tolist()
            batches = [batches[i] for i in mixed]
        return batches


def pieces(examples: Sequence[Example], forward: Forward) -> Iterator[list[int]]:
    """Split a batch into groups for one forward pass each, longest first: indices.

    A group holds at most `max_tokens` tokens (as laid out) unless a single example is longer.
    """
    order = sorted(range(len(examples)), key=lambda i: (-examples[i].length, i))
    group: list[int] = []
    used = 0
    for i in order:
        # padded, the first of the group is the longest and sets the width
        width = examples[group[0]].length if group else examples[i].length
        size = examples[i].size if forward.packed else width * len(examples[i].responses)
        if group and used + size > forward.max_tokens:
            yield group
            group, used = [], 0
            if not forward.packed:
                size = examples[i].length * len(examples[i].responses)
        group.append(i)
        used += size
    if group:
        yield group


# -- layout -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Tokens for one forward pass, and where its outputs are wanted.

    A flat position counts through `input_ids` row by row. Response numbers run over all examples.
    """

    input_ids: Tensor  # (rows, width)
    position_ids: Tensor  # (rows, width)
    attention_mask: Tensor  # (rows, width) of 0 and 1, or (1, 1, width, width) of bool
    sources: Tensor  # (targets,) flat position whose output predicts the target
    targets: Tensor  # (targets,) token ids
    owners: Tensor  # (targets,) response the target belongs to
    columns: Tensor  # (targets,) place of the target in its response
    ends: Tensor  # (responses,) flat position of the last token of each response

    @property
    def responses(self) -> int:
        return int(self.ends.numel())

    @property
    def tokens(self) -> int:
        return int(self.input_ids.numel())

    def to(self, device: Any) -> "Layout":
        return Layout(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


def lay_out(examples: Sequence[Example], *, packed: bool, pad_id: int = 0) -> Layout:
    """Put examples into one forward pass."""
    return _packed(examples) if packed else _padded(examples, pad_id)


def _wanted(example: Example, response: int) -> Sequence[int]:
    """Columns of a response that are targets; a first token without a prompt has no source."""
    said = example.said[response] if example.said else None
    columns = range(len(example.responses[response]))
    return [c for c in columns if (said is None or said[c]) and (c > 0 or example.prompt)]


def _packed(examples: Sequence[Example]) -> Layout:
    ids: list[int] = []
    positions: list[int] = []
    example_of: list[int] = []
    branch_of: list[int] = []  # -1: prompt, seen by every response of its example
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    columns: list[int] = []
    ends: list[int] = []
    for e, example in enumerate(examples):
        shared = len(example.prompt)
        prompt_end = len(ids) + shared - 1
        ids += example.prompt
        positions += range(shared)
        example_of += [e] * shared
        branch_of += [-1] * shared
        for r, response in enumerate(example.responses):
            start = len(ids)
            for c in _wanted(example, r):
                sources.append(start + c - 1 if c else prompt_end)
                targets.append(response[c])
                owners.append(len(ends))
                columns.append(c)
            ids += response
            positions += range(shared, shared + len(response))
            example_of += [e] * len(response)
            branch_of += [r] * len(response)
            ends.append(len(ids) - 1)
    belongs, branch = torch.tensor(example_of), torch.tensor(branch_of)
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril_()
    mask &= belongs[:, None] == belongs
    mask &= (branch == -1) | (branch[:, None] == branch)
    return Layout(
        torch.tensor([ids]),
        torch.tensor([positions]),
        mask[None, None],
        *(torch.tensor(x, dtype=torch.long) for x in (sources, targets, owners, columns, ends)),
    )


def _padded(examples: Sequence[Example], pad_id: int) -> Layout:
    lines = [(e, r, e.prompt + reply) for e in examples for r, reply in enumerate(e.responses)]
    width = max(len(line) for _, _, line in lines)
    ids = torch.full((len(lines), width), pad_id)
    mask = torch.zeros(len(lines), width, dtype=torch.long)
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    columns: list[int] = []
    ends: list[int] = []
    for i, (example, r, line) in enumerate(lines):
        ids[i, : len(line)] = torch.tensor(line)
        mask[i, : len(line)] = 1
        for c in _wanted(example, r):
            sources.append(i * width + len(example.prompt) + c - 1)
            targets.append(example.responses[r][c])
            owners.append(i)
            columns.append(c)
        ends.append(i * width + len(line) - 1)
    positions = torch.arange(width).expand(len(lines), width) * mask
    return Layout(
        ids,
        positions,
        mask,
        *(torch.tensor(x, dtype=torch.long) for x in (sources, targets, owners, columns, ends)),
    )


def batch_size(config: RunConfig, processes: int) -> int:
    """Examples in one update, over all processes."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * processes
