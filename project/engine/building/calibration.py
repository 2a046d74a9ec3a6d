"""How far probabilities are to be believed, and one number that mends them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

BINS = 15


def as_classes(logits: Tensor) -> Tensor:
    """Logits (N,) of yes and no as those of two classes (N, 2); of several as they are."""
    return torch.stack([torch.zeros_like(logits), logits], 1) if logits.ndim == 1 else logits


@torch.inference_mode(False)
@torch.enable_grad()
def temperature(logits: Tensor, targets: Tensor) -> float:
    """The number to divide logits by so that their probabilities fit the targets best.

    The answers stay the same, only how sure they are changes. Source: Guo et al., On Calibration of
    Modern Neural Networks, https://arxiv.org/abs/1706.04599

    Args:
        logits: (N, K), or (N,) of yes and no; not those the network was trained on.
        targets: (N,) class numbers.
    """
    logarithm = torch.zeros((), dtype=torch.float64, requires_grad=True)
    scores, truth = as_classes(logits).double().clone(), targets.long().clone()
    search = torch.optim.LBFGS([logarithm], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        # within e^+-5: targets that all fit would be believed without end
        loss = F.cross_entropy(scores / logarithm.clamp(-5, 5).exp(), truth)
        loss.backward()
        return loss

    search.step(closure)
    return float(logarithm.detach().clamp(-5, 5).exp())


def calibration_error(logits: Tensor, targets: Tensor) -> float:
    """How far confidence and accuracy lie apart on average, over bins of confidence (ECE)."""
    chances = as_classes(logits).softmax(1)
    return float(
        multiclass_calibration_error(
            chances, targets.long(), chances.shape[1], n_bins=BINS, norm="l1"
        )
    )
