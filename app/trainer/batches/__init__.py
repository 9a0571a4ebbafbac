"""Rows as tokens, in batches that waste no padding.

A `Layout` is what a forward pass reads. Packed, many examples lie one behind the other in a single
line of tokens and a mask keeps them apart; the responses to one prompt share its tokens. Padded,
each response is a line of its own, for models that cannot take such a mask. Losses see no
difference.
"""

from app.trainer.batches.examples import (
    Data,
    Example,
    Limits,
    Report,
    beyond,
    encode_conversation,
    encode_prompt,
    encode_responses,
    encode_rows,
    read_examples,
)
from app.trainer.batches.layout import (
    Layout,
    lay_out,
)
from app.trainer.batches.order import (
    Forward,
    Sampler,
    pieces,
)

__all__ = [
    "Data",
    "Example",
    "Forward",
    "Layout",
    "Limits",
    "Report",
    "Sampler",
    "beyond",
    "encode_conversation",
    "encode_prompt",
    "encode_responses",
    "encode_rows",
    "lay_out",
    "pieces",
    "read_examples",
]
