"""`score`: `{prompt, responses}` lines in, the same with `scores` out."""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.trainer import lm as models
from app.trainer.batches import Example, encode_responses
from app.trainer.chat import BadConversation
from app.trainer.dataset import Row, as_reply, need, parse_line, prompt_row, read_lines
from app.trainer.failures import BadInput, signals
from app.trainer.rollout import RewardModel
from app.trainer.run_folder import Progress


def score_file(
    model: str, file: Path, output: Path | None, *, batch_size: int, device: str
) -> None:
    """Score every response of every line; null where one is too long for the model.

    Raises:
        BadInput: for a file, a line or a model that cannot be used.

    """
    if not file.is_file():
        raise BadInput(f"The file {file} does not exist.")
    records = [
        (f"{file} line {number}", parse_line(file, number, line))
        for number, line in read_lines(file)
    ]
    rows = [responses_row(where, record) for where, record in records]
    tokenizer = models.load_tokenizer(models.locate(model, "reward model"))
    loaded = models.load_reward_model(model, tokenizer, role="reward model", fresh=False)
    limit = models.context_limit(loaded)
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
                records[begin:], scores_of(reward, part, limit), strict=False
            ):
                stream.write(json.dumps(record | {"scores": scores}, ensure_ascii=False) + "\n")
            stream.flush()
            progress.at(begin + len(part))
    progress.end()


def responses_row(where: str, record: dict[str, Any]) -> Row:
    """A line as a row: `{prompt, responses}` or `{prompt, chosen, rejected}`."""
    need(record, where, "score", ("prompt", "responses"), ("prompt", "chosen", "rejected"))
    prompt = prompt_row(where, record).prompt
    given = record.get("responses") or [record.get("chosen"), record.get("rejected")]
    if not isinstance(given, list):
        raise BadInput(f"{where}: responses must be a list.")
    return Row(where, prompt, tuple(as_reply(reply, where, "responses") for reply in given))


def scores_of(reward: RewardModel, rows: Sequence[Row], limit: int) -> list[list[float | None]]:
    """Scores by row and response."""
    found: list[list[float | None]] = [[None] * len(row.replies) for row in rows]
    examples, places = [], []
    for i, row in enumerate(rows):
        try:
            whole = encode_responses(row, reward.chat)
        except BadConversation as error:
            raise BadInput(f"{row.where}: {error}.") from error
        fits = [
            r
            for r, tokens in enumerate(whole.responses)
            if len(whole.prompt) + len(tokens) <= limit
        ]
        if fits:
            examples.append(Example(row, whole.prompt, tuple(whole.responses[r] for r in fits)))
            places += [(i, r) for r in fits]
    for (i, r), score in zip(places, reward.score(examples).tolist(), strict=True):
        found[i][r] = round(score, 6)
    return found
