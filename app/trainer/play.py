"""`play`: a process that keeps the models of the last minutes loaded and answers at once.

Orders come as paths, line by line, through a named pipe. An order is a folder with `order.json`:
replies to be written, each a token at a time so that all of them grow side by side, and replies to
be read or scored. What happens is said in its `said.jsonl`; a file `stop-KEY` ends a reply before
its next token. The process ends when nobody has asked for a while, or nobody holds the pipe.
"""

import gc
import json
import math
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch

from app.trainer import lm as models
from app.trainer.aloud import Token, Writing, perplexity, read_aloud
from app.trainer.batches import Report
from app.trainer.chat import BadConversation, ChatFormat
from app.trainer.dataset import Row
from app.trainer.failures import BadInput, Failure, is_out_of_memory, signals
from app.trainer.rollout import Sampling, noise_seed
from app.trainer.score import Judges, verdicts

SPARE = 256 << 20  # bytes that stay free beside a model
WORK = 1.3  # of a model's weights, with what a forward pass needs
TELL_EVERY = 0.05  # seconds between two lines about a reply that grows
LOOK_EVERY = 0.5  # seconds between two looks for a signal, while nothing is to be done

T = TypeVar("T")


class Shelf:
    """Loaded models by the caller's name for them, the one that was used last at the end."""

    def __init__(self, device: str) -> None:
        self.wanted = device
        self.loaded: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self.pinned: set[str] = set()  # those of the order at hand

    def take(self, name: str, folder: str, load: Callable[[str, torch.device], Any]) -> Any:
        """The model; loaded where it is not there, in place of those that were used least lately.

        Raises:
            BadInput: where there is no room for it.

        """
        if name not in self.loaded:
            size = weights_of(folder)
            device = self._device(math.ceil(size * WORK) + SPARE, size)
            self.loaded[name] = (load(folder, device), size)
        self.loaded.move_to_end(name)
        return self.loaded[name][0]

    def _device(self, needed: int, size: int) -> torch.device:
        """Where it fits: on the GPU if there is room beside a training, else in main memory."""
        device = models.pick_device(self.wanted)
        if self._make_room(needed, device):
            return device
        cpu = torch.device("cpu")
        if self.wanted == "auto" and device != cpu and self._make_room(needed, cpu):
            return cpu
        raise BadInput(
            f"There is no room for this model: it takes about {in_words(size)} and "
            f"{in_words(free_bytes(device))} are free. Wait for the training to end, or try a "
            "smaller model."
        )

    def _make_room(self, needed: int, device: torch.device) -> bool:
        idle = [name for name in self.loaded if name not in self.pinned]
        while free_bytes(device) < needed and idle:
            del self.loaded[idle.pop(0)]
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return free_bytes(device) >= needed


class Speaker:
    """A language model and how it writes conversations."""

    def __init__(self, folder: str, device: torch.device) -> None:
        tokenizer = models.load_tokenizer(models.locate(folder, "model"))
        self.lm = models.load_lm(folder).to(device).eval().requires_grad_(False)
        self.chat = ChatFormat(tokenizer, self.lm)


def place_of(item: Mapping[str, Any]) -> str:
    """Its model's name on the shelf."""
    return str(item["id"])


def weights_of(folder: str) -> int:
    """Bytes of a model in 32 bit, from the headers of its files; 0 for one of the hub."""
    total = 0
    for file in sorted(Path(folder).rglob("*.safetensors")):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        header.pop("__metadata__", None)
        total += sum(4 * math.prod(tensor["shape"]) for tensor in header.values())
    adapter = Path(folder) / "adapter_config.json"
    if adapter.is_file():
        base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
        total += weights_of(base) if Path(base).is_dir() else 0
    return total


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


class Order:
    """One folder of work, and the file in which its progress is told."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self.folder, self.shelf = folder, shelf
        self.body = json.loads((folder / "order.json").read_text(encoding="utf-8"))
        self.said = (folder / "said.jsonl").open("a", encoding="utf-8")
        shelf.pinned = {place_of(item) for part in ("write", "read") for item in self.body[part]}

    def tell(self, key: str, event: str, **more: Any) -> None:
        line = {"key": key, "event": event} | more
        self.said.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.said.flush()

    def carry_out(self) -> None:
        try:
            self._write(self.body["write"])
            for item in self.body["read"]:
                signals.check("The worker was stopped.")
                with_error(self, item["key"], partial(self._read, item))
        finally:
            self.shelf.pinned = set()
            self.tell("", "done", loaded=list(self.shelf.loaded))
            self.said.close()

    # -- writing ------------------------------------------------------------------------------

    def _write(self, items: Sequence[Mapping[str, Any]]) -> None:
        """All replies at once, a token of each in turn."""
        growing = [reply for item in items if (reply := self._reply(item)) is not None]
        while growing:
            signals.check("The worker was stopped.")
            growing = [reply for reply in growing if next(reply, None) is not None]

    def _reply(self, item: Mapping[str, Any]) -> Iterator[bool] | None:
        return with_error(self, item["key"], partial(self._begun, item))

    def _begun(self, item: Mapping[str, Any]) -> Iterator[bool]:
        key = item["key"]
        if place_of(item) not in self.shelf.loaded:
            self.tell(key, "loading")
        speaker = self.shelf.take(place_of(item), item["folder"], Speaker)
        sampling = Sampling(
            item["max_new_tokens"], temperature=item["temperature"], top_p=item["top_p"]
        )
        writing = Writing(
            speaker.lm,
            speaker.chat,
            item["messages"],
            sampling,
            seed=noise_seed(item["seed"], 0, item["place"], 0),  # as `generate` draws it
        )
        return self._growing(key, writing)

    def _growing(self, key: str, writing: Writing) -> Iterator[bool]:
        """True after each token; tells what came now and then, and at once of the first."""
        tokens: list[Token] = []
        waiting: list[Token] = []
        begun, told_at = time.monotonic(), 0.0
        stop = str(self.folder / f"stop-{key}")
        while writing.over is None:
            if os.path.exists(stop):  # noqa: PTH110 - once per token
                writing.over = "stopped"
                break
            try:
                token = writing.step()
            except (RuntimeError, MemoryError) as error:
                self.tell(key, "error", error=in_a_sentence(error))
                return
            tokens.append(token)
            waiting.append(token)
            now = time.monotonic()
            if now - told_at >= TELL_EVERY:
                self._tell_tokens(key, waiting)
                waiting, told_at = [], now
            yield True
        self._tell_tokens(key, waiting)
        self.tell(
            key,
            "end",
            why=writing.over,
            text=writing.text,
            perplexity=perplexity(tokens),
            seconds=round(time.monotonic() - begun, 4),
        )

    def _tell_tokens(self, key: str, tokens: Sequence[Token]) -> None:
        if tokens:
            text = "".join(token.readable for token in tokens)
            self.tell(key, "tokens", text=text, tokens=[token.as_json() for token in tokens])

    # -- reading ------------------------------------------------------------------------------

    def _read(self, item: Mapping[str, Any]) -> None:
        key, messages, text = item["key"], item["messages"], item["text"]
        if item["kind"] == "score":
            judges = self.shelf.take(place_of(item), item["folder"], Judges)
            reply = ({"role": "assistant", "content": text},)
            row = Row("the reply", tuple(messages), (reply,))
            report = Report()
            (found,) = verdicts(judges, [row], report)
            if found["scores"][0] is None:
                raise BadConversation(next(iter(report.dropped), "it cannot be read"))
            self.tell(key, "score", **{name: values[0] for name, values in found.items()})
            return
        speaker = self.shelf.take(place_of(item), item["folder"], Speaker)
        tokens = read_aloud(speaker.lm, speaker.chat, messages, text, is_whole=item["is_whole"])
        self.tell(
            key,
            "reading",
            tokens=[token.as_json() for token in tokens],
            perplexity=perplexity(tokens),
        )


def with_error(order: Order, key: str, work: Callable[[], T]) -> T | None:
    """What it gives; an error is told as a sentence, and the other work goes on."""
    try:
        return work()
    except (BadConversation, Failure, RuntimeError, MemoryError, OSError) as error:
        order.tell(key, "error", error=in_a_sentence(error))
        return None


def in_a_sentence(error: BaseException) -> str:
    if is_out_of_memory(error):
        return "Memory ran out. Ask for fewer tokens, or wait for the training to end."
    if isinstance(error, BadConversation):
        return f"The model cannot take this: {error}."
    if isinstance(error, Failure):
        return str(error)
    return f"It could not be done ({type(error).__name__}: {error})."


# -- the process ------------------------------------------------------------------------------


def play(inbox: Path, *, idle: float, device: str, threads: int) -> None:
    """Carry out orders until nobody has asked for `idle` seconds."""
    torch.set_num_threads(threads)
    orders: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=listen, args=[inbox, orders], daemon=True).start()
    shelf, asked_at = Shelf(device), time.monotonic()
    while time.monotonic() - asked_at < idle:
        signals.check("The worker was stopped.")
        try:
            folder = orders.get(timeout=LOOK_EVERY)
        except queue.Empty:
            continue
        if folder is None:
            return
        Order(Path(folder), shelf).carry_out()
        asked_at = time.monotonic()


def listen(inbox: Path, orders: "queue.Queue[str | None]") -> None:
    """Pass on each line of the pipe; its end, when the worker has gone, as None."""
    with inbox.open(encoding="utf-8") as lines:
        for line in lines:
            orders.put(line.rstrip("\n"))
    orders.put(None)
