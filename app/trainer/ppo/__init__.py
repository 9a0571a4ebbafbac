"""Proximal policy optimisation: generate → score → penalise → advantages → update.

`training` is the loop; `episodes` writes and scores, `shaping` makes what the update learns from,
`updating` is the clipped update.
"""

from app.trainer.ppo.episodes import Episode, Play, PolicyAndValue
from app.trainer.ppo.shaping import (
    Shaping,
    adapt,
    as_grid,
    objective,
    penalise,
    shaped_scores,
    targets_of,
)
from app.trainer.ppo.training import train
from app.trainer.ppo.updating import KlBudget, mini_batch, update

__all__ = [
    "Episode",
    "KlBudget",
    "Play",
    "PolicyAndValue",
    "Shaping",
    "adapt",
    "as_grid",
    "mini_batch",
    "objective",
    "penalise",
    "shaped_scores",
    "targets_of",
    "train",
    "update",
]
