"""The losses that training minimises."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn


class Objective:
    """Mean squared error; subclasses replace the loss, and may count correct rows."""

    counts = False

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(output, target)

    def correct(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor | float:
        return 0.0


@dataclass
class CrossEntropy(Objective):
    """Cross-entropy over class indices (row,) or soft labels (row, class); `weight` is (class,) or None."""

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
    """Squared error up to one standard deviation, absolute beyond."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.smooth_l1_loss(output, target)
