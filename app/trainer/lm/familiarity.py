"""How far a response is from what a reward model was trained on.

A reward model is right about what it has seen. A response is summed up by the mean of the trunk's
states over its tokens, the training data by the mean and covariance of those: a few directions of
its own each, and one variance for all others (probabilistic PCA, Tipping and Bishop 1999).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.trainer import losses
from app.trainer.batches import Example, Forward, Layout, pieces
from app.trainer.failures import BadInput
from app.trainer.lm.forward import Scorer, autocast

DIRECTIONS = 32  # most that have a variance of their own
SHRINKAGE = 0.1  # share of the mean variance added to each: what the data lacks is far, not ∞ far
FILE = "familiarity/statistics.safetensors"  # in a folder: beside the weights it would be loaded


def pooled(states: Tensor, layout: Layout) -> Tensor:
    """Mean state over the tokens of each response: `(tokens, hidden)` → `(responses, hidden)`."""
    read = states[layout.sources].float()
    sums = read.new_zeros(layout.responses, read.shape[1]).index_add(0, layout.owners, read)
    counts = losses.sum_by(torch.ones_like(read[:, 0]), layout.owners, layout.responses)
    return sums / counts.clamp(min=1)[:, None]


@torch.no_grad()
def features_of(scorer: Scorer, examples: Sequence[Example], forward: Forward) -> Tensor:
    """Features of every response, in any order: `(responses, hidden)`, on the CPU."""
    was_training = scorer.training
    scorer.eval()
    device = scorer.model.device
    found = [torch.zeros(0, 0)]
    for group in pieces(examples, forward):
        layout = forward.lay_out([examples[i] for i in group]).to(device)
        with autocast(device, bf16=forward.bf16):
            states = scorer.states(layout, layout.sources)
        found.append(pooled(states, layout).cpu())
    scorer.train(was_training)
    return torch.cat(found[1:] or found)


@dataclass(frozen=True)
class Familiarity:
    """What a training set looks like to the model that learned from it."""

    mean: Tensor  # (hidden,)
    directions: Tensor  # (k, hidden), orthonormal
    variances: Tensor  # (k,) along them
    rest: Tensor  # scalar: variance along any other direction
    typical: Tensor  # scalar: mean squared distance of unseen responses of the same data

    @classmethod
    def of(cls, features: Tensor, unseen: Tensor) -> "Familiarity":
        """Sum up `(responses, hidden)` features; `unseen` are of rows that were not trained on."""
        rows, width = features.shape
        mean = features.mean(0)
        _, sizes, directions = torch.linalg.svd(features - mean, full_matrices=False)
        spread = sizes**2 / max(rows - 1, 1)
        kept = min(DIRECTIONS, int((spread > 0).sum()), max(rows - 2, 0), width - 1)
        even = SHRINKAGE * spread.sum().clamp(min=1e-12) / width
        rest = spread[kept:].sum() / max(width - kept, 1) + even
        one = torch.ones(())
        found = cls(mean, directions[:kept].contiguous(), spread[:kept] + even, rest, one)
        typical = (found.distance(unseen if len(unseen) else features) ** 2).mean()
        return replace(found, typical=typical.clamp(min=1e-12))

    def distance(self, features: Tensor) -> Tensor:
        """Mahalanobis distance; 1 is usual for unseen responses of the same data.

        `(responses, hidden)` → `(responses,)`.
        """
        away = features - self.mean
        along = away @ self.directions.T
        outside = ((away**2).sum(1) - (along**2).sum(1)).clamp(min=0)
        squares = (along**2 / self.variances).sum(1) + outside / self.rest
        return (squares / self.typical).sqrt()

    def save(self, model: Path) -> None:
        """Keep it with the model in whose folder it is."""
        (model / FILE).parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in vars(self).items()}, model / FILE)

    @classmethod
    def load(cls, model: Path) -> "Familiarity | None":
        """None for a model without."""
        if not (model / FILE).is_file():
            return None
        try:
            return cls(**load_file(model / FILE))
        except (SafetensorError, TypeError) as error:
            raise BadInput(
                f"{model / FILE} cannot be read. Remove the folder to go on without distances."
            ) from error
