"""`score`: `{prompt, responses}` lines in, the same with `scores` out."""

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.trainer import lm as models
from app.trainer.batches import Limits, Report, beyond, encode_responses
from app.trainer.chat import BadConversation
from app.trainer.dataset import Row, as_replies, need, parse_line, prompt_row, read_lines
from app.trainer.failures import BadInput, signals
from app.trainer.rollout import RewardModel
from app.trainer.run_folder import Progress


def score_file(
    model: str, file: Path, output: Path | None, *, batch_size: int, device: str
) -> None:
    """Score every response of every line; null, counted and named, where the model cannot read it.

    Raises:
        BadInput: for a file, a line or a model that cannot be used.

    """
    records = [
        (f"{file} line {number}", parse_line(file, number, line))
        for number, line in read_lines(file)
    ]
    if not records:
        raise BadInput(
            f'{file} is empty: it needs lines such as {{"prompt": "…", "responses": […]}}.'
        )
    rows = [responses_row(where, record) for where, record in records]
    tokenizer = models.load_tokenizer(models.locate(model, "reward model"))
    loaded = models.load_reward_model(model, tokenizer, role="reward model", fresh=False)
    limits, report = models.limits_of(loaded), Report()
    reward = RewardModel(loaded.to(models.pick_device(device)), tokenizer, max_tokens=2048)
    progress = Progress("score", len(rows))
    with contextlib.ExitStack() as stack:
        stream: Any = sys.stdout
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(output.open("w", encoding="utf-8"))
        for begin in range(0, len(rows), batch_size):
            signals.check("Cancelled.")
            part = rows[begin : begin + batch_size]
            for (_, record), scores in zip(
                records[begin:], scores_of(reward, part, limits, report), strict=False
            ):
                stream.write(json.dumps(record | {"scores": scores}, ensure_ascii=False) + "\n")
            stream.flush()
            progress.at(begin + len(part))
    progress.end()
    for sentence in report.sentences("responses"):
        print(sentence, file=sys.stderr)  # noqa: T201


def responses_row(where: str, record: dict[str, Any]) -> Row:
    """A line as a row: `{prompt, responses}` or `{prompt, chosen, rejected}`."""
    need(record, where, "score", ("prompt", "responses"), ("prompt", "chosen", "rejected"))
    prompt = prompt_row(where, record).prompt
    given = record.get("responses") or [record.get("chosen"), record.get("rejected")]
    return Row(where, prompt, as_replies(given, where))


def scores_of(
    reward: RewardModel, rows: Sequence[Row], limits: Limits, report: Report
) -> list[list[float | None]]:
    """Scores by row and response; None where the model cannot read a response, which is noted."""
    found: list[list[float | None]] = [[None] * len(row.replies) for row in rows]
    examples, places = [], []
    for i, row in enumerate(rows):
        report.rows += len(row.replies)
        try:
            whole = encode_responses(row, reward.chat)
        except BadConversation as error:
            report.drop(str(error), row.where, count=len(row.replies))
            continue
        fits = []
        for r, tokens in enumerate(whole.responses):
            if reason := beyond(limits, replace(whole, responses=(tokens,))):
                report.drop(reason, row.where)
            else:
                fits.append(r)
        if fits:
            examples.append(replace(whole, responses=tuple(whole.responses[r] for r in fits)))
            places += [(i, r) for r in fits]
    for (i, r), score in zip(places, reward.score(examples).tolist(), strict=True):
        found[i][r] = round(score, 6)
    return found
