"""Log-probabilities of the frozen reference: read once, kept in the run folder by content."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.trainer import losses
from app.trainer.batches import Example, Forward, pieces
from app.trainer.lm import autocast, target_logps
from app.trainer.processes import any_process, read
from app.trainer.run_folder import RunFolder


@torch.no_grad()
def sequence_logps(
    lm: Any,
    examples: Sequence[Example],
    forward: Forward,
) -> list[Tensor]:
    """Summed log-probabilities of every response: one `(responses,)` per example, on the CPU."""
    was_training = lm.training
    lm.eval()
    found: dict[int, Tensor] = {}
    for group in pieces(examples, forward):
        own = [examples[i] for i in group]
        layout = forward.lay_out(own).to(lm.device)
        with autocast(lm.device, bf16=forward.bf16):
            logps = target_logps(lm, layout)
        sums = losses.sum_by(logps, layout.owners, layout.responses).cpu()
        parts = sums.split([len(example.responses) for example in own])
        found |= dict(zip(group, parts, strict=True))
    lm.train(was_training)
    return [found[i] for i in range(len(examples))]


class Reference:
    """What the frozen start of a run says of its rows; read once, then taken from the folder."""

    def __init__(
        self, lm: Any, folder: RunFolder, accelerator: Accelerator, forward: Forward
    ) -> None:
        self.lm, self.folder, self.accelerator, self.forward = lm, folder, accelerator, forward

    def logps(
        self, examples: Sequence[Example], wanted: Sequence[int], name: str
    ) -> dict[int, Tensor]:
        """Log-probabilities of the wanted examples' responses, by index."""
        used = [examples[i] for i in wanted]
        return dict(zip(wanted, self._read(used, name), strict=True))

    def _read(self, examples: Sequence[Example], name: str) -> list[Tensor]:
        key = content_key(self.lm, examples, self.forward)
        file = self.folder.path / "reference" / f"{name}.safetensors"
        counts = [len(example.responses) for example in examples]
        stored = stored_logps(file, key, sum(counts), self.folder.note)
        if not any_process(self.accelerator, flag=stored is None) and stored is not None:
            return list(stored.split(counts))
        of = partial(sequence_logps, self.lm, forward=self.forward)
        check = self.folder.check
        found = read(self.accelerator, examples, self.forward, of, check=check)
        if found and self.accelerator.is_main_process:
            store_logps(file, key, torch.cat(found))
        return found


class NoReference(Reference):
    """For losses that read the policy alone: log 1 of every response."""

    def _read(self, examples: Sequence[Example], name: str) -> list[Tensor]:  # noqa: ARG002
        return [torch.zeros(len(example.responses)) for example in examples]


def store_logps(file: Path, key: str, values: Tensor) -> None:
    """Write them, complete or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".partial")
    save_file({"logps": values}, unfinished, metadata={"key": key, "sha256": checksum(values)})
    unfinished.replace(file)


def stored_logps(file: Path, key: str, count: int, note: Callable[[str], None]) -> Tensor | None:
    """The stored values, if they are of this content and as they were written."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as stored:
            about = stored.metadata() or {}
            if about.get("key") != key:
                return None  # of other data, or of another start
            values: Tensor = stored.get_tensor("logps")
            if values.shape == (count,) and about.get("sha256") == checksum(values):
                return values
    except (OSError, SafetensorError):
        pass  # cut off
    note(f"The reference's log-probabilities in {file} are damaged: they are computed anew.")
    return None


def checksum(values: Tensor) -> str:
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()


def content_key(lm: Any, examples: Sequence[Example], forward: Forward) -> str:
    """A hash of weights, how they are read, tokens and settings: equal keys, equal logps."""
    digest = hashlib.sha256(repr(forward).encode() + lm.config.to_json_string().encode())
    for name, weights in sorted(lm.state_dict().items()):
        digest.update(name.encode())
        flat = weights.detach().cpu().contiguous().flatten()  # of a single number too
        digest.update(flat.view(torch.uint8).numpy())
    for example in examples:
        digest.update(repr((example.prompt, example.responses)).encode())
    return digest.hexdigest()
