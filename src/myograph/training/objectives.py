"""The losses that training minimises."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn


class Objective:
    """Mean squared error. Subclasses replace the loss, and may count correct rows.

    >>> float(Objective().loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])))
    2.5
    >>> Objective().correct(torch.tensor([1.0]), torch.tensor([1.0]))
    0.0
    """

    counts = False

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar tensor, averaged over rows."""
        return nn.functional.mse_loss(output, target)

    def correct(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor | float:
        """Return the number of correct rows; always 0 for a regression."""
        return 0.0


@dataclass
class CrossEntropy(Objective):
    """Cross-entropy over class indices (row,) or soft labels (row, class).

    Parameters
    ----------
    weight : (class,) weights, or None.
    label_smoothing : fraction of the label that is spread over all classes.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> round(float(CrossEntropy().loss(logits, torch.tensor([0, 1]))), 4)
    0.1269
    >>> int(CrossEntropy().correct(logits, torch.tensor([0, 0])))
    1
    """

    weight: torch.Tensor | None = None
    label_smoothing: float = 0.0
    counts: bool = field(default=True, init=False)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(
            output.float(), target, weight=self.weight, label_smoothing=self.label_smoothing
        )

    def correct(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (output.argmax(1) == (target.argmax(1) if target.ndim == 2 else target)).sum()


class Huber(Objective):
    """Half the squared error up to an error of 1, and linear beyond (Huber 1964, doi:10.1214/aoms/1177703732).

    >>> float(Huber().loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])))
    1.5
    """

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.smooth_l1_loss(output, target)
