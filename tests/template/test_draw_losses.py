"""The picture of the losses shows what they are."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "draw_losses.py"
FORMULAS = {
    "L1": lambda error: error.abs(),
    "MSE": lambda error: error**2,
    "SmoothL1": lambda error: torch.where(error.abs() < 2, error**2 / 4, error.abs() - 1),
    "Huber": lambda error: torch.where(error.abs() < 0.5, error**2 / 2, 0.5 * (error.abs() - 0.25)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_curve_is_the_loss_over_the_error(name: str) -> None:
    values = runpy.run_path(str(SCRIPT))["values"]
    _, errors, losses, slopes = values(name, {"beta": 2.0, "delta": 0.5})
    torch.testing.assert_close(losses, FORMULAS[name](errors))
    steps = (losses[1:] - losses[:-1]) / (errors[1:] - errors[:-1])
    smooth = errors[1:].abs() > 0.02  # L1 has no slope at 0
    torch.testing.assert_close(slopes[1:][smooth], steps[smooth], atol=0.02, rtol=0)


def test_it_draws_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["draw_losses.py", "SmoothL1", "L1", "--output", str(tmp_path / "losses.png")]
    )
    runpy.run_path(str(SCRIPT), run_name="__main__")
    with Image.open(tmp_path / "losses.png") as image:
        assert image.width > 1000
    monkeypatch.setattr(sys, "argv", ["draw_losses.py", "CTC"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "unknown loss 'CTC'; there are MSE, L1, SmoothL1, Huber" in capsys.readouterr().err
