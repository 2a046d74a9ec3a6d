"""Every loss, trained from the command line on what it is for, halves the error of a named baseline
on held-out data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from project.engine.building.losses import LOSS_SPECS
from project.engine.registry import TABLES
from project.training.dice import Dice
from tests.conftest import Project, available

QUIET = "--run.threads 1 --run.tensorboard false --model.schedule Cosine"
MLP = "--model.net MLP --model.net.hidden [32] --model.optimizer.lr 0.01"
DIGITS = f"--data Digits {MLP} --trainer.max_epochs 6"
ODD = f"{DIGITS} --model.positive [1,3,5,7,9]"
STRIPS = (
    "--data DigitStrings --data.size 8 --data.shortest 1 --data.longest 2 --data.gap 0 "
    "--data.strings 1500 --data.evaluated 200 "
    "--model.net CNN --model.net.channels [16,32,64] --model.net.batch_norm true "
    "--model.net.global_pool true "
    "--model.net.hidden [64] --model.optimizer.lr 0.01"
)
WHICH = f"{STRIPS} --data.target labels --trainer.max_epochs 4"
MANY = f"{STRIPS} --data.target count --model Regression --trainer.max_epochs 3"
PLANE = (
    f"--data Plane --data.noise 0.5 --data.outliers 0.1 --model Regression {MLP} "
    "--trainer.max_epochs 6"
)
POINTS = f"--data Digits --model MetricLearning {MLP} --trainer.max_epochs 6"


@dataclass(frozen=True)
class Row:
    """What a loss is trained on, and by what it is judged.

    words: what follows `fit`.
    figure: of the test split: mae is an error, all others are shares of what is right.
    baseline: what guesses instead: the error of a constant, or of the network before any training.
    options: of the loss.
    """

    words: str
    figure: str
    baseline: str
    options: str = ""


# (loss, what it compares) -> how it is trained
ROWS = {
    ("CrossEntropy", "class"): Row(DIGITS, "accuracy", "majority class"),
    ("CrossEntropy", "shares"): Row(
        f"{DIGITS} --model Distillation --model.teacher teacher", "accuracy", "majority class"
    ),
    ("NLL", "class"): Row(DIGITS, "accuracy", "majority class"),
    ("MultiMargin", "class"): Row(DIGITS, "accuracy", "majority class"),
    ("KLDiv", "class"): Row(
        DIGITS, "accuracy", "majority class", "--model.loss.reduction batchmean"
    ),
    ("KLDiv", "shares"): Row(
        f"{DIGITS} --model Distillation --model.teacher teacher",
        "accuracy",
        "majority class",
        "--model.loss.reduction batchmean",
    ),
    ("BCEWithLogits", "binary"): Row(ODD, "accuracy", "majority class"),
    ("BCEWithLogits", "labels"): Row(WHICH, "accuracy", "majority of each label"),
    ("BCE", "binary"): Row(ODD, "accuracy", "majority class"),
    ("BCE", "labels"): Row(WHICH, "accuracy", "majority of each label"),
    ("SoftMargin", "binary"): Row(ODD, "accuracy", "majority class"),
    ("SoftMargin", "labels"): Row(WHICH, "accuracy", "majority of each label"),
    ("MultiLabelSoftMargin", "labels"): Row(WHICH, "accuracy", "majority of each label"),
    ("MultiLabelMargin", "labels"): Row(WHICH, "accuracy", "majority of each label"),
    ("MSE", "number"): Row(PLANE.replace("--data.outliers 0.1", ""), "mae", "mean"),
    ("L1", "number"): Row(PLANE, "mae", "mean"),
    ("SmoothL1", "number"): Row(PLANE, "mae", "mean", "--model.loss.beta 0.1"),
    ("Huber", "number"): Row(PLANE, "mae", "mean", "--model.loss.delta 0.1"),
    ("GaussianNLL", "spread"): Row(PLANE.replace("--data.outliers 0.1", ""), "mae", "mean"),
    ("PoissonNLL", "count"): Row(MANY, "mae", "mean"),
    ("TripletMargin", "triplets"): Row(POINTS, "neighbour", "untrained network"),
    ("CosineEmbedding", "pairs"): Row(
        POINTS, "neighbour", "untrained network", "--model.loss.margin 0.3"
    ),
    ("HingeEmbedding", "pairs"): Row(
        POINTS, "neighbour", "untrained network", "--model.loss.margin 2"
    ),
    ("MarginRanking", "ranks"): Row(
        f"--data Plane --data.noise 0.5 --model Ranking {MLP} --trainer.max_epochs 5",
        "pairs",
        "a coin",
        "--model.loss.margin 0.1",
    ),
    ("Dice", "mask"): Row(
        "--data DigitMasks --data.size 16 --model Segmentation --model.net.channels [8,16] "
        "--model.optimizer.lr 0.01 "
        "--trainer.max_epochs 2",
        "dice",
        "untrained network",
    ),
    ("CTC", "sequence"): Row(
        "--data DigitStrings --data.size 8 --data.shortest 1 --data.longest 2 --data.strings "
        "2000 --data.evaluated 100 "
        "--data.batch_size 16 --model Transcription --model.net.channels [16,32] --model.optimizer.lr "
        "0.01 --trainer.max_epochs 3",
        "characters",
        "untrained network",
    ),
}

ROWS = {row: how for row, how in ROWS.items() if available(how)}

# baseline -> its error, from the targets of the test split; the best constant for that split, so a
# hard one
CONSTANTS: dict[str, Callable[[np.ndarray], float]] = {
    "majority class": lambda truth: 1 - np.bincount(truth).max() / len(truth),
    "majority of each label": lambda truth: float(
        np.minimum(truth.mean(0), 1 - truth.mean(0)).mean()
    ),
    "mean": lambda truth: float(np.abs(truth - truth.mean(0)).mean()),
    "a coin": lambda truth: 0.5,
}
UNTRAINED: dict[str, float] = {}


def error(run: Path, row: Row) -> float:
    value = json.loads((run / "results.json").read_text())["test"][f"test/{row.figure}"]
    return value if row.figure == "mae" else 1 - value


def train(project: Project, run: Path, *words: str) -> None:
    for command in (["fit", *words, QUIET, "--run", run], ["test --ckpt_path", run]):
        code, _, err = project(*command)
        assert code == 0, err


def baseline(project: Project, row: Row, run: Path) -> float:
    if row.baseline != "untrained network":
        with np.load(run / "predictions-test.npz") as kept:
            return CONSTANTS[row.baseline](kept["target"])
    if row.words not in UNTRAINED:
        untrained = run.with_name("untrained")
        words = re.sub(r"--(model.optimizer.lr|trainer.max_epochs) \S+", "", row.words)
        train(
            project,
            untrained,
            words,
            "--model.optimizer.lr 0 --trainer.max_epochs 1 --trainer.limit_train_batches 1",
        )
        UNTRAINED[row.words] = error(untrained, row)
    return UNTRAINED[row.words]


SHORT = {("CrossEntropy", "class"), ("Huber", "number")}  # the others are run by `pytest -m ""`


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        pytest.param(loss, kind, marks=[] if (loss, kind) in SHORT else pytest.mark.slow)
        for loss, kind in ROWS
    ],
    ids=lambda word: word,
)
def test_a_loss_halves_the_error_of_its_baseline(
    loss: str, kind: str, project: Project, tmp_path: Path
) -> None:
    row, run = ROWS[loss, kind], tmp_path / "run"
    if "--model.teacher" in row.words:
        train(project, tmp_path / "teacher", DIGITS)
    train(project, run, row.words, f"--model.loss {loss} {row.options}")
    assert error(run, row) <= baseline(project, row, run) / 2


@pytest.mark.template
def test_every_loss_is_shown_on_everything_it_is_for() -> None:
    kinds = {
        loss.__name__.removesuffix("Loss"): reading.kinds
        for loss, reading in (LOSS_SPECS | {Dice: Dice.reads}).items()
    }
    assert {*ROWS} == {(name, kind) for name in TABLES["losses"] for kind in kinds[name]}
