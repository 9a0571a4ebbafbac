"""Scores of responses from a reward model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from app.trainer.batches import Example, Forward, pieces
from app.trainer.chat import ChatFormat
from app.trainer.dataset import Row
from app.trainer.lm import (
    Familiarity,
    Scorer,
    autocast,
    can_pack,
    halve_frozen,
    limits_of,
    pooled,
)


class RewardModel:
    """Scores responses; reads the policy's tokens where both share a vocabulary, else the words."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_tokens: int,
        bf16: bool = False,
        familiarity: Familiarity | None = None,
    ) -> None:
        """Freeze the model; `max_tokens` are those of one forward pass."""
        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer
        self.scorer = Scorer(self.model)
        self.chat = ChatFormat(tokenizer)
        packed = can_pack(self.model, longest=limits_of(self.model).context)
        self.forward = Forward(packed=packed, max_tokens=max_tokens, bf16=bf16)
        self.familiarity = familiarity

    def settle(self, device: torch.device) -> None:
        """Go where it will read, once nothing else is made of its weights."""
        self.model.to(device)
        if self.forward.bf16:
            halve_frozen(self.model)

    def shares_tokens(self, chat: ChatFormat) -> bool:
        """Whether the policy's ids and template mean the same here."""
        other = self.tokenizer.get_vocab()
        same = all(other.get(t) == i for t, i in chat.tokenizer.get_vocab().items())
        return same and chat.tokenizer.chat_template == self.tokenizer.chat_template

    def score(self, examples: Sequence[Example]) -> Tensor:
        """Scores of all responses, in order over the examples: `(responses,)`, on the CPU."""
        return self.read(examples)[0]

    @torch.no_grad()
    def read(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor | None]:
        """The same, and how far each response is from what the model was trained on.

        The distance is None where the model was stored without statistics of its training data.
        """
        starts, total = [], 0
        for example in examples:
            starts.append(total)
            total += len(example.responses)
        scores = torch.zeros(total)
        distances = torch.zeros(total) if self.familiarity else None
        for group in pieces(examples, self.forward):
            layout = self.forward.lay_out([examples[i] for i in group])
            layout = layout.to(self.model.device)
            read_at = torch.cat([layout.ends, layout.sources]) if self.familiarity else layout.ends
            with autocast(self.model.device, bf16=self.forward.bf16):
                states = self.scorer.states(layout, read_at)
            places = [starts[i] + r for i in group for r in range(len(examples[i].responses))]
            scores[places] = self.scorer.scores_at(states, layout.ends).cpu()
            if self.familiarity and distances is not None:
                distances[places] = self.familiarity.distance(pooled(states, layout).cpu())
        return scores, distances

    def encode(self, row: Row) -> Example:
        """A row in this model's own tokens."""
        return Example(
            row,
            tuple(self.chat.prompt_ids(row.prompt)),
            tuple(tuple(self.chat.reply_ids(row.prompt, reply)) for reply in row.replies),
        )
