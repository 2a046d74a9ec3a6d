"""How well masks agree, image by image."""

from __future__ import annotations

import torch
from torch import Tensor

from ..spec import IGNORED

IMAGES = 256  # compared at a time, which bounds the memory


def dice_of_each(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """The Dice of each image, as `Overlap` has it of all together: (B, H, W) both to (B,); 1 where
    nothing is to be found.
    """
    known = targets != IGNORED
    image = (
        torch.arange(len(targets), device=targets.device).reshape(-1, 1, 1).expand_as(targets)
        * classes
    )

    def count(places: Tensor, among: Tensor) -> Tensor:
        found = torch.bincount((image + places.long())[among], minlength=len(targets) * classes)
        return found.reshape(-1, classes)

    both, sizes = (
        count(targets, known & (predictions == targets)),
        count(predictions, known) + count(targets, known),
    )
    values = 2 * both / sizes
    return (values[:, 1] if classes == 2 else values.nanmean(1)).nan_to_num(1.0)
