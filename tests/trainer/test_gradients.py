"""Gradients of what the loops add up, against finite differences in 64 bit."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from app.run_config import DpoConfig, RewardConfig
from app.trainer import dpo, losses, reward
from app.trainer.batches import Example
from app.trainer.dataset import Row

MASK = torch.tensor([[1, 1, 0], [1, 1, 1]], dtype=torch.float64)
OTHER = torch.tensor([[0.2, -0.1, 0.4], [0.0, 0.3, -0.6]], dtype=torch.float64)
LENGTHS = (torch.tensor([3.0, 2.0]), torch.tensor([1.0, 4.0]))


def task(*ranks: int, **row: float) -> Example:
    replies = tuple((5,) * (2 + i) for i in range(len(ranks)))
    return Example(Row("made", (), ((),) * len(ranks), ranks, **row), (1, 2), replies)


def reward_loss(example: Example, **settings: object) -> Callable[[Tensor], Tensor]:
    config, count = RewardConfig(**settings), len(example.responses)
    return lambda x: reward.task_loss(example, x.flatten()[:count], config)


def dpo_loss(**settings: object) -> Callable[[Tensor], Tensor]:
    examples = [task(1, 2, weight=0.5), task(2, 1, 3)]
    config = DpoConfig(**settings)
    return lambda x: dpo.batch_loss(examples, x.flatten()[:5], OTHER.flatten()[:5], config)[0]


def kto_loss(x: Tensor) -> Tensor:
    examples = [task(1), Example(Row("made", (), label=False), (1,), ((2,),))]
    config = DpoConfig(loss_type="kto", undesirable_weight=1.5)
    return dpo.batch_loss(examples, x.flatten()[:2], OTHER.flatten()[:2], config, z0=0.1)[0]


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.sum_by(x.flatten(), torch.tensor([0, 2, 0, 1, 1, 2]), 3),
        lambda x: losses.whiten(x, MASK),
        lambda x: losses.whiten(x, MASK, shift_mean=False),
        lambda x: losses.gae(x, OTHER, gamma=0.9, lam=0.8)[0],
        lambda x: losses.gae(OTHER, x, gamma=0.9, lam=0.8)[1],
        lambda x: losses.kl_per_token(x, OTHER, "k1"),
        lambda x: losses.dpo(x[0, :2], x[1, :2], beta=0.3, loss_type="ipo", lengths=LENGTHS),
        reward_loss(task(1, 2, p=0.75, margin=0.4), center_rewards_coefficient=0.01),
        reward_loss(task(2, 1, 1, 3), center_rewards_coefficient=0.01),
        reward_loss(task(2, 1, 1, 3), ranking_loss="plackett_luce"),
        dpo_loss(),
        dpo_loss(label_smoothing=0.1),
        dpo_loss(loss_type="robust", label_smoothing=0.1),
        dpo_loss(loss_type="ipo"),
        dpo_loss(loss_type="ipo_sum"),
        kto_loss,
    ],
)
def test_gradients_match_finite_differences(loss: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([[0.4, -0.9, 1.3], [0.2, 0.7, -0.3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, x)


def test_log_probabilities() -> None:
    """`logps_of` computes in 32 bit: its gradient against the formula, 1[target] - p."""
    logits = torch.randn(3, 5, requires_grad=True)
    targets = torch.tensor([4, 0, 2])
    losses.logps_of(logits, targets).sum().backward()
    expected = torch.nn.functional.one_hot(targets, 5) - logits.detach().softmax(-1)
    assert torch.allclose(logits.grad, expected, atol=1e-6)
