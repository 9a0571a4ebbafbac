"""What is not trained needs no 32 bit where it is multiplied in 16."""

from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


def halve_frozen(model: Any) -> Any:
    """Keep frozen matrices in bfloat16, as autocast makes them before every product.

    What comes out is the same to the bit, in half the memory, and a token that is generated does
    not wait for all weights to be cast. Left alone is what is computed in 32 bit: score heads, and
    a matrix that is also an embedding.
    """
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    for name, part in model.named_modules():
        if type(part) not in (nn.Linear, Conv1D) or "score" in name.split("."):
            continue
        if id(part.weight) not in embeddings and not part.weight.requires_grad:
            part.to(torch.bfloat16)
    return model
