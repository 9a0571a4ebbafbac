"""Responses written token by token, many lines at once."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from app.trainer.lm import (
    can_record,
    has_room,
    limits_of,
    name_of_cache,
    record,
    take_rows,
    write_at,
)
from app.trainer.rollout.prompts import Read
from app.trainer.rollout.sampling import Sampling, choose

NOTHING = -1  # written behind the end of a line


class Lines:
    """The lines of one batch while they are written: tensors on the device, which nobody reads."""

    def __init__(
        self, lm: Any, read: Read, sampling: Sampling, stop_ids: frozenset[int], noise: Tensor
    ) -> None:
        logits, self.cache, self.mask = read
        self.lm, self.sampling, device = lm, sampling, lm.device
        self.by = name_of_cache(lm)
        count, most = noise.shape
        self.stops = torch.tensor(sorted(stop_ids), dtype=torch.long, device=device)
        self.last = limits_of(lm).context - 1  # place of a token
        self.rows = torch.arange(count, device=device)  # which response each line is
        self.noise = noise.to(device)
        self.written = torch.full((count, most), NOTHING, device=device)
        self.done = torch.zeros(count, dtype=torch.bool, device=device)
        self.positions = self.mask.sum(1, keepdim=True) - 1
        self.token = torch.zeros_like(self.positions)
        self.time = torch.zeros(1, dtype=torch.long, device=device)  # tokens written
        self.place = torch.full_like(self.time, self.mask.shape[1])  # column of the next token
        self.choose(logits)

    def choose(self, logits: Tensor) -> None:
        """Write the next token of each line that has not ended; all tensors stay where they are."""
        noise = self.noise.index_select(1, self.time).squeeze(1)
        token = choose(logits, noise, self.sampling)
        shown = token.masked_fill(self.done, NOTHING)
        self.written.index_copy_(1, self.time, shown[:, None])
        full = self.positions.squeeze(1) + 1 >= self.last
        self.done |= (token[:, None] == self.stops).any(1) | full
        self.positions.add_(1).clamp_(max=self.last)  # lines that have ended may go along
        self.token.copy_(token[:, None])
        self.time += 1

    def read_token(self, mask: Tensor) -> None:
        """Read the last token, and choose the next."""
        by_state = self.by == "cache_params"  # which has no columns for a mask to hide
        out = self.lm(
            input_ids=self.token,
            attention_mask=None if by_state else mask,
            position_ids=self.positions,
            use_cache=True,
            logits_to_keep=1,
            **{self.by: self.cache},
        )
        self.choose(out.logits[:, -1].float())

    def step(self) -> None:
        """One token more behind what there is."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        self.read_token(self.mask)

    def step_in_place(self) -> None:
        """The same, in a cache and a mask that have all their columns from the start."""
        self.mask.index_fill_(3, self.place, True)
        self.read_token(self.mask)
        self.place += 1

    def all_columns(self) -> None:
        """From now on the lines go on by `step_in_place`."""
        behind = self.noise.shape[1]
        self.mask = F.pad(self.mask.bool(), (0, behind))[:, None, None]
        write_at(self.cache, self.place)

    def collect(self, responses: list[list[int]]) -> None:
        """Put down what is written of each response so far."""
        for row, line in zip(self.rows.tolist(), self.written.tolist(), strict=True):
            responses[row] = line[: line.index(NOTHING)] if NOTHING in line else line

    def leave(self, keep: Tensor) -> None:
        """Go on with these lines alone."""
        take_rows(self.cache, keep)
        for name in ("rows", "noise", "written", "done", "positions", "token", "mask"):
            setattr(self, name, getattr(self, name)[keep])


def go_on(
    lm: Any,
    read: Read,
    sampling: Sampling,
    stop_ids: frozenset[int],
    noise: Tensor,
    *,
    compact: bool,
    recorded: bool,
) -> list[list[int]]:
    """Write behind what was read, until each line has ended.

    A recorded step costs a GPU little more for many lines than for few, but recording it does.
    """
    lines = Lines(lm, read, sampling, stop_ids, noise)
    responses: list[list[int]] = [[] for _ in noise]
    recorded = recorded and can_record(lm.device) and has_room(lines.cache)
    every, share = (16, 0.5) if recorded else (1, 0.75)  # when to look, and copying pays
    if recorded:
        lines.all_columns()
    step: Callable[[], None] | None = None
    for t in range(sampling.max_new_tokens - 1):
        if t % every == 0:
            left = int((~lines.done).sum())
            if not left:
                break
            if compact and left <= share * len(lines.rows):
                lines.collect(responses)
                lines.leave((~lines.done).nonzero().squeeze(1))
                step = None
        if not recorded:
            lines.step()
        elif step is None:
            lines.step_in_place()
            step = record(lines.step_in_place)
        else:
            step()
    lines.collect(responses)
    return responses
