"""How a token is drawn: from noise of its own, whatever it is batched with."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token; temperature 0 takes the likeliest."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


def noise_seed(seed: int, *numbers: int) -> int:
    """A seed of its own for every response: results do not depend on how they are batched."""
    for number in numbers:
        seed = (seed * 6_364_136_223_846_793_005 + number + 1_442_695_040_888_963_407) % 2**63
    return seed


def uniform(seed: int, count: int) -> Tensor:
    """The noise of one response, a number for each of its tokens: `(count,)`."""
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def choose(logits: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """The next token of each row by inverse transform: `(n, vocabulary)`, `(n,)` → `(n,)`."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        lowest = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    probs = logits.softmax(-1)
    if sampling.top_p < 1:  # the smallest set of likeliest tokens that reaches top_p
        ordered, index = probs.sort(descending=True, stable=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        probs = probs.scatter(-1, index, ordered.masked_fill(outside, 0.0))
    cumulative = probs.cumsum(-1)
    points = uniform[:, None].to(cumulative) * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, points, right=True).squeeze(1)
    return token.clamp(max=logits.shape[-1] - 1)
