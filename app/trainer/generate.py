"""`generate`: prompts in, lines ready for import with the model's responses out."""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from app.trainer import lm as models
from app.trainer.batches import Example, Limits, Report, beyond, encode_prompt
from app.trainer.chat import BadConversation, ChatFormat
from app.trainer.dataset import parse_line, printable, prompt_row, read_lines, refuse_same
from app.trainer.failures import BadInput, signals
from app.trainer.rollout import Sampling, generate, noise_seed
from app.trainer.run_folder import Progress

# Other answers in a line, and what people or models said of them: not true of the new ones.
ANSWERS = frozenset(
    {"responses", "chosen", "rejected", "completion", "response_ids", "chosen_id", "rejected_id"}
    | {"annotations", "gold", "adjudication", "ranks", "ratings", "strength", "margin"}
    | {"agreement", "n_annotators", "scores", "score_stds", "predicted_ratings"}
)
PACK = 2048  # tokens of prompts that are read at once
MOST = 10_000  # responses to a prompt: a line holds all of them
TRIES = 4  # an empty response cannot be judged: draw again, at most this often


def generate_file(
    model: str,
    file: Path,
    output: Path | None,
    *,
    sampling: Sampling,
    n: int,
    seed: int,
    batch_size: int,
    source: str | None,
    device: str,
) -> None:
    """Answer every prompt `n` times; each response has noise of its own from `seed`.

    Lines that `output` already holds are kept and not made again, so that a run can be continued.
    Prompts that the model cannot take are left out, counted and named on standard error.

    Raises:
        BadInput: for a file, a line or a model that cannot be used, or when no prompt can.

    """
    counts = (n, sampling.max_new_tokens, batch_size)
    fair = 0 <= sampling.temperature < math.inf and 0 < sampling.top_p <= 1
    if min(counts) < 1 or n > MOST or not fair:
        raise BadInput(
            "--n, --max-new-tokens and --batch-size must be at least 1, --n at most "
            f"{MOST}, --temperature 0 or more, --top-p in (0, 1]."
        )
    refuse_same(file, output)
    records = list(prompt_records(file))
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    lm = models.load_lm(model).to(models.pick_device(device))
    chat = ChatFormat(tokenizer, lm)
    limits = models.limits_of(lm)
    prompts = readable_prompts(records, chat, limits, sampling.max_new_tokens)
    pack = PACK if models.can_pack(lm, longest=limits.context) else 0
    name = source or f"model:{Path(model).resolve().name if Path(model).is_dir() else model}"
    chunk = max(1, batch_size // n) * 4  # prompts written at once
    start = kept_lines(output, chunk) if output else 0
    progress = Progress("generate", len(prompts))
    stream = output.open("a", encoding="utf-8") if output else sys.stdout
    try:
        for begin in range(start, len(prompts), chunk):
            signals.check("Cancelled; the same command with --output goes on where it stopped.")
            part = prompts[begin : begin + chunk]
            asked = [example for _, example in part]
            texts = answer(
                lm, chat, asked, sampling, n=n, seed=seed, first=begin, size=batch_size, pack=pack
            )
            for (record, _), responses in zip(part, texts, strict=True):
                line = {k: v for k, v in record.items() if k not in ANSWERS}
                if line.get("prompt") is None:
                    line["prompt"] = line.pop("messages")  # as an import calls it beside responses
                line["responses"] = [{"text": text, "source": name} for text in responses if text]
                stream.write(printable(json.dumps(line, ensure_ascii=False)) + "\n")
            stream.flush()
            progress.at(begin + len(part))
    finally:
        progress.end()
        if output:
            stream.close()


def prompt_records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of a file as objects; a bare string is a prompt."""
    number = 0
    for number, line in read_lines(file):
        if line.lstrip().startswith('"'):
            line = '{"prompt": ' + line.strip() + "}"  # noqa: PLW2901 - the same line, as an object
        yield f"{file} line {number}", parse_line(file, number, line)
    if not number:
        raise BadInput(f'{file} is empty: it needs lines such as {{"prompt": "…"}}.')


def readable_prompts(
    records: Iterable[tuple[str, dict[str, Any]]],
    chat: ChatFormat,
    limits: Limits,
    max_new_tokens: int,
) -> list[tuple[dict[str, Any], Example]]:
    """The lines that the model can answer, with their tokens; it is said how many it cannot."""
    room = limits.context - max_new_tokens
    if room < 1:
        raise BadInput(f"--max-new-tokens must be below the model's {limits.context}.")
    report = Report()
    prompts = []
    for where, record in records:
        report.rows += 1
        row = prompt_row(where, record)
        try:
            example = encode_prompt(row, chat, room)
        except BadConversation as error:
            report.drop(str(error), where)
            continue
        if reason := beyond(limits, example):
            report.drop(reason, where)
        else:
            prompts.append((record, example))
    left_out = " ".join(report.sentences("prompts"))
    if not prompts:
        raise BadInput(f"No prompt can be answered. {left_out} Choose other prompts or options.")
    if left_out:
        print(left_out, file=sys.stderr)  # noqa: T201
    return prompts


def answer(
    lm: Any,
    chat: ChatFormat,
    prompts: Sequence[Example],
    sampling: Sampling,
    *,
    n: int,
    seed: int,
    first: int,
    size: int,
    pack: int = 0,
) -> list[list[str]]:
    """`n` texts per prompt; where all tries were empty, an empty text."""
    texts = [[""] * n for _ in prompts]
    for attempt in range(TRIES):
        places = [(i, k) for i in range(len(prompts)) for k in range(n) if not texts[i][k]]
        if not places or (attempt and sampling.temperature == 0):
            break
        responses = generate(
            lm,
            [prompts[i].prompt for i, _ in places],
            sampling,
            stop_ids=chat.stop_ids,
            seeds=[noise_seed(seed, first + i, k, attempt) for i, k in places],
            batch_size=size,
            pack=pack,
        )
        for (i, k), response in zip(places, responses, strict=True):
            texts[i][k] = chat.decode(response)
    return texts


def kept_lines(output: Path, chunk: int) -> int:
    """How many lines of a half-written file stay: whole chunks, so that batches repeat exactly."""
    if not output.is_file():
        output.parent.mkdir(parents=True, exist_ok=True)
        return 0
    with output.open("rb+") as stream:
        ends: list[int] = []
        for line in stream:
            if not line.endswith(b"\n"):
                break
            ends.append((ends[-1] if ends else 0) + len(line))
        kept = len(ends) // chunk * chunk
        stream.truncate(ends[kept - 1] if kept else 0)
    return kept
