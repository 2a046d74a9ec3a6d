"""The Dice loss, which torch has not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import LossSpec


class Dice(nn.Module):
    """One minus the soft Dice coefficient, a mean over classes: `1 - (2 sum(p t) + smooth) /
    (sum(p^2) + sum(t^2) + smooth)`.

    p are probabilities, t the truth as 0 and 1; the sums go over all pixels of the batch, so that
    an image without a class does not count as a failure. Source: Milletari, Navab, Ahmadi: V-Net,
    2016, section 3; smooth is added here.

    Args:
        smooth: Keeps the ratio finite, and its gradient small, where there is hardly any
            foreground.
    """

    reads = LossSpec(("mask",))

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        self.smooth = smooth

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits of several classes (B, C, ...) and class numbers (B, ...), or of the foreground
        (B, ...) and 0 or 1.
        """
        if logits.ndim == targets.ndim:
            chances, truth = (
                logits.sigmoid().reshape(-1, 1),
                targets.to(logits.dtype).reshape(-1, 1),
            )
        else:
            classes = logits.shape[1]
            chances = logits.softmax(1).movedim(1, -1).reshape(-1, classes)
            truth = F.one_hot(targets.long().reshape(-1), classes).to(logits.dtype)
        overlap = (chances * truth).sum(0)
        sizes = chances.square().sum(0) + truth.sum(0)  # the square of 0 and 1 is itself
        return 1 - torch.mean((2 * overlap + self.smooth) / (sizes + self.smooth))
