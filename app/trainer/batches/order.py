"""Which examples make an update, and which of them share a forward pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from app.run_config import PpoConfig, RunConfig
from app.trainer.batches.examples import Example
from app.trainer.batches.layout import Layout, lay_out


@dataclass(frozen=True)
class Forward:
    """How forward passes are made; it changes speed and memory, not results."""

    packed: bool
    max_tokens: int
    bf16: bool
    share_prompt: bool = True

    @classmethod
    def of(
        cls,
        config: RunConfig,
        device: torch.device,
        *,
        packable: bool,
        keeps_scores: bool = False,
        token: float = 0.0,
    ) -> "Forward":
        """0 tokens means what suits the device: a GPU waits for Python between short passes.

        `token` is how many bytes one takes until its gradients are made. Where the model keeps the
        scores of all tokens for each other (`keeps_scores`), those of a long pack fill any GPU.
        """
        packed = config.packing and packable
        short = device.type == "cpu" or (packed and keeps_scores)
        usual = SHORT if short else most_tokens(config, device, token)
        return cls(
            packed=packed,
            max_tokens=config.max_tokens_per_forward or usual,
            bf16=config.bf16,
            share_prompt=config.share_prompt,
        )

    def shared_by(self, models: int) -> "Forward":
        """For models that read each pass side by side, in the memory of one."""
        return replace(self, max_tokens=max(1, self.max_tokens // models))

    def lay_out(self, examples: Sequence[Example]) -> Layout:
        """These examples for one pass."""
        return lay_out(examples, packed=self.packed, share_prompt=self.share_prompt)

    def size(self, example: Example) -> int:
        """Its tokens in a pack."""
        copies = 0 if self.share_prompt else len(example.responses) - 1
        return example.size + copies * len(example.prompt)


SHORT, LONG = 1024, 32_768  # tokens of a pass that suits a CPU, and of the longest on a GPU
SHARE = 0.5  # of a GPU's memory for what passes keep; as much is for weights and the optimiser


def most_tokens(config: RunConfig, device: torch.device, token: float) -> int:
    """Tokens of a pass that fit into a GPU, by all its memory: the same at every start."""
    memory = torch.cuda.get_device_properties(device).total_memory
    at_once = 4 if isinstance(config, PpoConfig) else 1  # two passes of two models are kept
    fit = int(SHARE * memory / at_once / max(token, 1.0))
    return min(max(fit // SHORT, 1) * SHORT, LONG)


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
        return self._batches_of(epoch)[place]

    def seen(self, steps: int) -> int:
        """Examples in the first `steps` updates; one of an epoch may have fewer than others."""
        epoch, place = divmod(steps - 1, self.steps_per_epoch)
        return epoch * len(self.lengths) + sum(map(len, self._batches_of(epoch)[: place + 1]))

    def visited(self, steps: int) -> list[int]:
        """Every index that the first `steps` updates use, in order."""
        if steps >= self.steps_per_epoch:
            return list(range(len(self.lengths)))
        return sorted({i for step in range(steps) for i in self.batch(step)})

    def state(self, step: int) -> dict[str, int]:
        """Where a run stands in its data; the order follows from it."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return {"step": step, "seed": self.seed, "epoch": epoch, "place": place}

    def _batches_of(self, epoch: int) -> list[list[int]]:
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._order(epoch)
        return self._batches

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
        size = forward.size(examples[i])
        if not forward.packed:
            size = width * len(examples[i].responses)
        if group and used + size > forward.max_tokens:
            yield group
            group, used = [], 0
            if not forward.packed:
                size = examples[i].length * len(examples[i].responses)
        group.append(i)
        used += size
    if group:
        yield group
