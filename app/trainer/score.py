"""`score`: `{prompt, responses}` lines in, the same with `scores` out."""

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.trainer import lm as models
from app.trainer.batches import Example, Forward, Report, beyond, encode_responses
from app.trainer.chat import BadConversation, ChatFormat
from app.trainer.dataset import (
    Row,
    as_replies,
    need,
    parse_line,
    printable,
    prompt_row,
    read_lines,
    refuse_same,
)
from app.trainer.failures import BadInput, signals
from app.trainer.run_folder import Progress


class Judges:
    """A reward model, or the members of an ensemble, and what their outputs mean."""

    def __init__(self, name: str, device: torch.device) -> None:
        """Load them; each has the tokens of the first."""
        folder = models.locate(name, "reward model")
        tokenizer = models.load_tokenizer(folder)
        loaded = [
            models.load_reward_model(member, tokenizer, role="reward model", fresh=False)
            for member in models.member_folders(folder)
        ]
        self.config = loaded[0].config
        self.criteria = models.heads_of(self.config)[1:]
        self.limits, self.chat = models.limits_of(loaded[0]), ChatFormat(tokenizer)
        packed = models.can_pack(loaded[0], longest=self.limits.context)
        self.forward = Forward(packed=packed, max_tokens=2048, bf16=False)
        self.scorers = [models.Scorer(model.to(device).eval(), apart=True) for model in loaded]

    def read(self, examples: Sequence[Example]) -> list[Tensor]:
        """All outputs, by example: `(responses, members, heads)`."""
        each = [models.outputs_of(scorer, examples, self.forward) for scorer in self.scorers]
        return [torch.stack(said, dim=1) for said in zip(*each, strict=True)]

    def verdict(self, heads: Tensor) -> dict[str, Any]:
        """Of one response, `(members, heads)`: score, spread over members, rating by criterion."""
        scores = models.score_of(heads, self.config)
        found: dict[str, Any] = {"scores": round(float(scores.mean()), 6)}
        if len(self.scorers) > 1:
            found["score_stds"] = round(float(scores.std(correction=0)), 6)
        if self.criteria:
            scale = zip(self.config.rating_means, self.config.rating_stds, strict=True)
            found["predicted_ratings"] = {
                name: round(value * std + mean, 4)
                for name, value, (mean, std) in zip(
                    self.criteria, heads.mean(0)[1:].tolist(), scale, strict=True
                )
            }
        return found


def score_file(
    model: str, file: Path, output: Path | None, *, batch_size: int, device: str
) -> None:
    """Score every response of every line; null, counted and named, where the model cannot read it.

    An ensemble gives the mean of its members, and `score_stds`; criteria give `predicted_ratings`.

    Raises:
        BadInput: for a file, a line or a model that cannot be used.

    """
    if batch_size < 1:
        raise BadInput("--batch-size must be at least 1.")
    refuse_same(file, output)
    records = [
        (f"{file} line {number}", parse_line(file, number, line))
        for number, line in read_lines(file)
    ]
    if not records:
        raise BadInput(
            f'{file} is empty: it needs lines such as {{"prompt": "…", "responses": […]}}.'
        )
    rows = [responses_row(where, record) for where, record in records]
    judges, report = Judges(model, models.pick_device(device)), Report()
    progress = Progress("score", len(rows))
    with contextlib.ExitStack() as stack:
        stream: Any = sys.stdout
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(output.open("w", encoding="utf-8"))
        for begin in range(0, len(rows), batch_size):
            signals.check("Cancelled.")
            part = rows[begin : begin + batch_size]
            for (_, record), said in zip(
                records[begin:], verdicts(judges, part, report), strict=False
            ):
                stream.write(printable(json.dumps(record | said, ensure_ascii=False)) + "\n")
            stream.flush()
            progress.at(begin + len(part))
    progress.end()
    for sentence in report.sentences("responses"):
        print(sentence, file=sys.stderr)  # noqa: T201


def responses_row(where: str, record: dict[str, Any]) -> Row:
    """A line as a row: `{prompt, responses}` or `{prompt, chosen, rejected}`."""
    need(record, where, "score", ("prompt", "responses"), ("prompt", "chosen", "rejected"))
    prompt = prompt_row(where, record).prompt
    given, pair = record.get("responses"), [record.get("chosen"), record.get("rejected")]
    if given in (None, []) and None not in pair:
        given = pair
    return Row(where, prompt, as_replies(given, where))


def verdicts(judges: Judges, rows: Sequence[Row], report: Report) -> list[dict[str, list[Any]]]:
    """By row, lists over its responses; None where the model cannot read one, which is noted."""
    found: list[list[Mapping[str, Any] | None]] = [[None] * len(row.replies) for row in rows]
    examples, places = [], []
    for i, row in enumerate(rows):
        report.rows += len(row.replies)
        try:
            whole = encode_responses(row, judges.chat)
        except BadConversation as error:
            report.drop(str(error), row.where, count=len(row.replies))
            continue
        fits = []
        for r, tokens in enumerate(whole.responses):
            if reason := beyond(judges.limits, replace(whole, responses=(tokens,))):
                report.drop(reason, row.where)
            else:
                fits.append(r)
        if fits:
            examples.append(replace(whole, responses=tuple(whole.responses[r] for r in fits)))
            places.append([(i, r) for r in fits])
    for at, outputs in zip(places, judges.read(examples), strict=True):
        for (i, r), heads in zip(at, outputs, strict=True):
            found[i][r] = judges.verdict(heads)
    names = ["scores", *(["score_stds"] if len(judges.scorers) > 1 else [])]
    names += ["predicted_ratings"] if judges.criteria else []
    return [{name: [v and v[name] for v in row] for name in names} for row in found]
