"""A temperature undoes a scale of the logits, and changes no answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from project.engine.building.calibration import calibration_error, temperature


def sampled(classes: int) -> tuple[Tensor, Tensor]:
    """Logits that are right about their chances, and targets drawn by them."""
    draw = torch.Generator().manual_seed(classes)
    logits = 2 * torch.randn(20_000, classes, generator=draw)
    targets = torch.multinomial(logits.softmax(1), 1, generator=draw).squeeze(1)
    return logits, targets


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_it_finds_the_scale(classes: int, scale: float) -> None:
    logits, targets = sampled(classes)
    found = temperature(scale * logits, targets)
    assert abs(found / scale - 1) < 0.05
    before = calibration_error(scale * logits, targets)
    after = calibration_error(scale * logits / found, targets)
    assert after < 0.015 and after <= before + 0.002


def test_yes_and_no_are_two_classes() -> None:
    logits, targets = sampled(2)
    alone = 3 * (logits[:, 1] - logits[:, 0])
    with torch.inference_mode():
        assert temperature(alone, targets) == pytest.approx(3, rel=0.05)
    assert calibration_error(alone, targets) == pytest.approx(
        calibration_error(3 * logits, targets), abs=1e-6
    )


def test_targets_that_all_fit_leave_a_number() -> None:
    logits = torch.eye(3).repeat(10, 1)
    assert 0 < temperature(logits, torch.arange(3).repeat(10)) < 0.1
