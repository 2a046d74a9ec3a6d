"""The Dice loss has the values computed by hand, and falls when trained."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from project.training.dice import Dice

FAR = 40.0  # a logit whose probability is 1


def logit(chance: float) -> float:
    return math.log(chance / (1 - chance))


# logits, targets, smooth, value by hand
CASES = [
    ([logit(0.8), logit(0.4), -FAR], [1, 0, 0], 0.0, 1 - 2 * 0.8 / (0.64 + 0.16 + 1)),
    ([logit(0.8), logit(0.4), -FAR], [1, 0, 0], 1.0, 1 - (2 * 0.8 + 1) / (0.64 + 0.16 + 1 + 1)),
    ([FAR, FAR, -FAR], [1, 1, 0], 0.0, 0.0),
    ([FAR, -FAR, -FAR], [0, 1, 1], 0.0, 1.0),
    ([-FAR, -FAR], [0, 0], 1.0, 0.0),
    (
        [[FAR, 0.0], [FAR, 0.0], [0.0, FAR]],
        [0, 1, 1],
        0.0,
        1 - (2 * 1 / (2 + 1) + 2 * 1 / (1 + 2)) / 2,
    ),
    ([[0.0, 0.0], [0.0, 0.0]], [0, 1], 0.0, 1 - 2 * 0.5 / (0.5 + 1)),
]


@pytest.mark.parametrize(("logits", "targets", "smooth", "value"), CASES)
def test_it_has_the_value_computed_by_hand(
    logits: list[float], targets: list[int], smooth: float, value: float
) -> None:
    assert float(Dice(smooth)(torch.tensor(logits), torch.tensor(targets))) == pytest.approx(
        value, abs=1e-6
    )


@pytest.mark.parametrize("classes", [1, 4])
def test_images_and_their_pixels_in_rows_are_the_same(classes: int) -> None:
    draw = torch.Generator().manual_seed(0)
    masks = torch.randint(max(2, classes), (2, 5, 6), generator=draw)
    logits = torch.randn(2, classes, 5, 6, generator=draw)
    rows: Tensor = logits.movedim(1, -1).reshape(-1, classes)
    images = logits if classes > 1 else logits.squeeze(1)
    assert torch.allclose(
        Dice()(images, masks), Dice()(rows if classes > 1 else rows.squeeze(1), masks.flatten())
    )


def test_its_gradient_leads_to_the_mask() -> None:
    masks = torch.tensor([[[0, 1], [1, 1]]])
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=5.0)
    for _ in range(50):
        optimizer.zero_grad()
        Dice()(logits, masks).backward()
        optimizer.step()
    assert ((logits > 0) == masks.bool()).all()
