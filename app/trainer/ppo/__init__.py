"""Proximal policy optimisation: generate → score → penalise → advantages → update.

`training` is the loop; `episodes` writes and scores, `shaping` makes what the update learns from,
`updating` is the clipped update, `limits` ends a run early. RLOO and GRPO share all of it but for
the value model: their advantages come from the other responses to the same prompt.
"""

from app.trainer.ppo.episodes import Episode, Play, PolicyAndValue, by_prompt
from app.trainer.ppo.shaping import (
    Shaping,
    adapt,
    as_grid,
    objective,
    penalise,
    sequence_advantages,
    shaped_scores,
    targets_of,
)
from app.trainer.ppo.training import train
from app.trainer.ppo.updating import mini_batch, update, weights_of

__all__ = [
    "Episode",
    "Play",
    "PolicyAndValue",
    "Shaping",
    "adapt",
    "as_grid",
    "by_prompt",
    "mini_batch",
    "objective",
    "penalise",
    "sequence_advantages",
    "shaped_scores",
    "targets_of",
    "train",
    "update",
    "weights_of",
]
