"""Responses from a policy, and their scores from a reward model."""

from app.trainer.rollout.generating import answers, generate
from app.trainer.rollout.sampling import Sampling, choose, noise_seed, uniform
from app.trainer.rollout.scoring import RewardModel

__all__ = ["RewardModel", "Sampling", "answers", "choose", "generate", "noise_seed", "uniform"]
