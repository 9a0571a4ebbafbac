"""Examples laid out for one forward pass, packed or padded."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from app.trainer.batches.examples import Example, wanted


@dataclass(frozen=True)
class Layout:
    """Tokens for one forward pass, and where its outputs are wanted.

    A flat position counts through `input_ids` row by row. Response numbers run over all examples.
    """

    input_ids: Tensor  # (rows, width)
    position_ids: Tensor  # (rows, width)
    padding: Tensor | None  # when padded: (rows, width), 1 for tokens and 0 for filling
    tree: Tensor | None  # when packed: (2, width), example and response of each token, -1: prompt
    spans: tuple[tuple[int, int, bool], ...]  # when packed: each example's place, and if it forks
    # when packed: a prompt with its first response (behind nothing), and each further response
    # with the place of its prompt: first and last of what is before it, and of its own
    segments: tuple[tuple[int, int, int, int], ...]
    sources: Tensor  # (targets,) flat position whose output predicts the target
    targets: Tensor  # (targets,) token ids
    owners: Tensor  # (targets,) response the target belongs to
    columns: Tensor  # (targets,) place of the target in its response
    ends: Tensor  # (responses,) flat position of the last token of each response

    @cached_property
    def masks(self) -> dict[tuple[str, int | None], Tensor]:
        """Masks that were made of it, by kind of attention and window: models share them."""
        return {}

    @property
    def responses(self) -> int:
        return int(self.ends.numel())

    @property
    def tokens(self) -> int:
        return int(self.input_ids.numel())

    @cached_property
    def attention_mask(self) -> Tensor:
        """`padding`, or who sees whom: `(1, 1, width, width)` of bool, on the tokens' device."""
        if self.tree is None:
            assert self.padding is not None
            return self.padding
        return self.dense_mask(0, self.tokens)

    def dense_mask(self, start: int, end: int, window: int | None = None) -> Tensor:
        """Who sees whom in a part of a pack, over a window of so many places: `(1, 1, n, n)`."""
        assert self.tree is not None
        belongs, branch = self.tree[:, start:end]
        mask = torch.ones(len(branch), len(branch), dtype=torch.bool, device=branch.device).tril_()
        mask &= belongs[:, None] == belongs
        mask &= (branch == -1) | (branch[:, None] == branch)
        if window:
            positions = self.position_ids[0, start:end]
            mask &= positions[:, None] - positions < window
        return mask[None, None]

    def to(self, device: Any) -> "Layout":
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in moved.items():
            if isinstance(value, Tensor):
                moved[name] = value.to(device, non_blocking=True)
        return Layout(**moved)


def lay_out(
    examples: Sequence[Example], *, packed: bool, share_prompt: bool = True, pad_id: int = 0
) -> Layout:
    """Put examples into one forward pass; a pack may share a prompt among its responses."""
    if not packed:
        return _padded(examples, pad_id)
    return _packed(examples if share_prompt else [one for e in examples for one in alone(e)])


def alone(example: Example) -> list[Example]:
    """Each response behind a prompt of its own."""
    return [
        replace(example, responses=(response,), said=example.said[r : r + 1])
        for r, response in enumerate(example.responses)
    ]


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
    spans, segments = [], []
    for e, example in enumerate(examples):
        began = len(ids)
        shared = len(example.prompt)
        prompt_end = len(ids) + shared - 1
        ids += example.prompt
        positions += range(shared)
        example_of += [e] * shared
        branch_of += [-1] * shared
        for r, response in enumerate(example.responses):
            start = len(ids)
            for c in wanted(example, r):
                sources.append(start + c - 1 if c else prompt_end)
                targets.append(response[c])
                owners.append(len(ends))
                columns.append(c)
            ids += response
            positions += range(shared, shared + len(response))
            example_of += [e] * len(response)
            branch_of += [r] * len(response)
            ends.append(len(ids) - 1)
            segments.append(
                (began, prompt_end + 1, start, len(ids)) if r else (began, began, began, len(ids))
            )
        if not example.responses:
            segments.append((began, began, began, len(ids)))
        spans.append((began, len(ids), len(example.responses) > 1))
    return Layout(
        torch.tensor([ids]),
        torch.tensor([positions]),
        None,
        torch.tensor([example_of, branch_of]),
        tuple(spans),
        tuple(segments),
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
        for c in wanted(example, r):
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
        None,
        (),
        (),
        *(torch.tensor(x, dtype=torch.long) for x in (sources, targets, owners, columns, ends)),
    )
