"""Reward model: a score per response, fitted to comparisons, rankings and ratings.

`training` is the loop; `objectives` what it minimises, `ratings` and `members` where it has heads
for criteria or is an ensemble, `evaluating` and `report` how good it is.
"""

from app.trainer.reward.evaluating import add_figures, longer_wins, pair_figures
from app.trainer.reward.objectives import by_example, task_loss
from app.trainer.reward.training import train

__all__ = ["add_figures", "by_example", "longer_wins", "pair_figures", "task_loss", "train"]
