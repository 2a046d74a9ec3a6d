"""`lr-find` finds the rate at which a loss begins to rise, says which option sets it, and leaves
nothing but a picture.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from project.engine.studies.rate import judged, ran_away, smooth
from tests.conftest import Project

RATES = np.geomspace(1e-6, 10, 200)
NOISE = np.random.default_rng(0).normal(0, 0.02, 200)
TINY = "--data.size 12 --model.net MLP --model.net.hidden [16] --run.threads 1 --steps 80"


def valley(edge: float, height: float = 2.0) -> np.ndarray:
    """Losses that fall from 1e-4 on and rise steeply above `edge`."""
    fallen = height * np.clip((np.log10(RATES) + 4) / 3, 0, 0.8)
    losses = height - fallen + 1e3 * np.clip(np.log10(RATES / edge), 0, None) ** 2
    return losses[: np.searchsorted(RATES, 3 * edge)]  # where a sweep would end


@pytest.mark.parametrize("edge", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("lift", [0.0, -5.0])
def test_the_suggestion_lies_a_third_below_the_rise(edge: float, lift: float) -> None:
    """Also where losses are negative."""
    losses = valley(edge)
    found = judged(RATES[: len(losses)], losses + NOISE[: len(losses)] + lift, 200)
    assert found.edge is not None and found.suggestion is not None
    assert 0.3 * edge < found.edge < 1.5 * edge
    assert found.suggestion == pytest.approx(found.edge / 3)


@pytest.mark.parametrize(
    "losses",
    {
        "flat": np.full(200, 2.0) + NOISE,
        "noise alone": 2.0 + 50 * NOISE,
        "rising": 2.0 + np.linspace(0, 3, 200),
        "gone after the first step": np.array([2.0, *np.linspace(1e6, 10, 20)]),
        "never finite": np.full(3, np.nan),
        "nothing": np.array([]),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_loss_that_does_not_fall_gives_no_suggestion(losses: tuple[str, np.ndarray]) -> None:
    values = losses[1]
    assert judged(RATES[: len(values)], values, 200).suggestion is None


@pytest.mark.parametrize(
    ("losses", "gone"),
    [
        ([2.0] * 20, False),
        ([2.0, np.nan], True),
        ([2.0] * 10 + [9.0] * 5, True),
        ([2.0] * 10 + [3.0] * 5, False),
        ([2, 50], False),
    ],
)
def test_the_sweep_ends_when_the_loss_runs_away(losses: list[float], gone: bool) -> None:
    assert ran_away(np.array(losses)) is gone


def test_smoothing_keeps_a_constant_and_does_not_lag() -> None:
    assert np.allclose(smooth(np.full(50, 3.0), 5), 3)
    step = smooth(np.repeat([0.0, 1.0], 50), 4)
    assert step[49] + step[50] == pytest.approx(1)


FOUND = {
    "": r"use       --model.optimizer.lr 0\.\d+\n",
    "--model.schedule Plateau": "--model.optimizer.lr",
    "--model.schedule OneCycle --model.schedule.max_lr 0.01": r"use       "
    r"--model.schedule.max_lr",
    '--model.groups [{"match":"layers.0.*","lr":0.0001}]': "with rates of their own went "
    "along, at 0.1 times",
    "--data.batch_size 2000": "--model.optimizer.lr",
    "--model.optimizer LBFGS --model.optimizer.lr 1 --data.batch_size 2000": "--model.optimizer.lr",
    "--trainer.accumulate_grad_batches 2": "--model.optimizer.lr",
    '--trainer.callbacks [{"class_path":"EarlyStopping","init_args":{"monitor":"val/loss"}}]': "--model.optimizer.lr",
    "--max_lr 1e-5": "no rate up to 1e-05 lowered the loss; try a larger --max_lr",
    "--min_lr 10 --max_lr 1e6 --model.optimizer SGD": "no rate lowered the loss before it ran away",
}
USUAL = {  # the others are run by `pytest -m ""`
    *("", "--model.schedule OneCycle --model.schedule.max_lr 0.01", "--max_lr 1e-5"),
    *(words for words in FOUND if "groups" in words),
}


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, marks=[] if words in USUAL else pytest.mark.slow) for words in FOUND],
)
def test_a_rate_is_found_for_any_run(words: str, project: Project, tmp_path: Path) -> None:
    rate = "" if "optimizer.lr" in words else "--model.optimizer.lr 0.001"
    code, out, err = project("lr-find", TINY, rate, words)
    assert code == 0, err
    assert re.search(FOUND[words], out), out
    assert [path.name for path in tmp_path.iterdir()] == ["lr-find.png"], (
        "nothing else is left behind"
    )
    with Image.open("lr-find.png") as image:
        assert min(image.size) > 400


@pytest.mark.slow
def test_the_same_command_suggests_the_same_rate(project: Project) -> None:
    words = ("lr-find", TINY, "--model.net.dropout 0.2 --output a.png")
    assert project(*words)[1] == project(*words)[1]
