"""`kfold`: every sample is told by the run that had not seen it; a fold is a run of `fit`; a
stopped one is continued.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from project.data.digits import Digits
from project.data.vision import MNIST
from project.engine.cli.settings import Settings
from project.engine.loading.arrays import Arrays
from project.engine.runs.folder import RunFolder
from project.engine.studies import folds
from project.engine.studies.folds import summary
from tests.conftest import Project
from tests.engine.runs.equal import differing
from tests.stand_ins import Numbers

SMALL = "--model.net MLP --model.net.hidden [16] --trainer.max_epochs 1 --run.tensorboard false"
DIGITS = f"--data.batch_size 512 {SMALL}"
TABLE = (
    "--data CSVTable --data.root . --data.file t.csv --data.target kind --data.batch_size 16 "
    f"{SMALL}"
)


@pytest.fixture
def table(tmp_path: Path) -> None:
    """60 flowers of three kinds, told apart by one number."""
    rows = [
        ["length", "width", "kind"],
        *([i % 3 + 0.01 * i, i % 7, "abc"[i % 3]] for i in range(60)),
    ]
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)


def rows_of(data: Digits | Numbers, split: str) -> Tensor:
    part = data.part(split)
    assert isinstance(part, Arrays)
    return part.rows


@pytest.mark.parametrize("kind", [Digits, Numbers])
def test_folds_are_disjoint_and_whole_and_never_trained_on(kind: type[Digits | Numbers]) -> None:
    tests = []
    for fold in range(4):
        data = kind(folds=4, fold=fold)
        train, val, test = (
            set(rows_of(data, split).tolist()) for split in ("train", "val", "test")
        )
        assert not train & val and not train & test and not val & test
        tests.append(test)
        size = len(train | val | test)
        assert abs(len(test) - size / 4) <= 10 and abs(len(val) - 0.1 * 0.75 * size) <= 10
    assert sum(map(len, tests)) == len(set.union(*tests)) == size


def test_each_class_is_spread_evenly_over_the_folds() -> None:
    classes = []
    for fold in range(5):
        part = Digits(folds=5, fold=fold).part("test")
        assert isinstance(part, Arrays) and isinstance(part.targets, Tensor)
        classes.append(Counter(part.targets[part.rows].tolist()))
    for number in range(10):
        counts = [count[number] for count in classes]
        assert max(counts) - min(counts) <= 1


def test_a_fold_takes_the_place_of_an_official_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(data: MNIST, split: str) -> Arrays:
        asked.append(split)
        return Arrays(torch.zeros(100, 1, 4, 4, dtype=torch.uint8), torch.arange(100) % 10)

    monkeypatch.setattr(MNIST, "load", load)
    assert len(MNIST(folds=5).part("test")) == 20 and set(asked) == {"train"}


def test_the_figures_of_the_folds_are_put_together() -> None:
    row = summary([{"accuracy": 0.5}, {"accuracy": 0.9}, {"accuracy": 1.0}])["accuracy"]
    assert (row["mean"], row["std"]) == (pytest.approx(0.8), pytest.approx(0.264575, abs=1e-6))
    assert (row["min"], row["max"], row["values"]) == (0.5, 1.0, [0.5, 0.9, 1.0])


@pytest.mark.parametrize(
    "words",
    [pytest.param(DIGITS, id="digits", marks=pytest.mark.slow), pytest.param(TABLE, id="table")],
)
def test_every_sample_is_predicted_once_and_the_folder_tells_all(
    words: str, table: None, project: Project, tmp_path: Path
) -> None:
    code, out, err = project("kfold --folds 2 --run.threads 1 --run all", words)
    assert code == 0, err
    with open(tmp_path / "all" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    size = 60 if words is TABLE else 1797
    assert [int(row["id"]) for row in rows] == list(range(size))
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    accuracy = results["metrics"]["test/accuracy"]
    by_fold = [
        [row["prediction"] == row["target"] for row in rows if row["fold"] == str(fold)]
        for fold in range(2)
    ]
    assert accuracy["values"] == pytest.approx([sum(right) / len(right) for right in by_fold])
    assert (
        accuracy["mean"] == pytest.approx(sum(accuracy["values"]) / 2)
        and results["samples"] == size
    )
    assert f"{accuracy['mean']:.4f}" in out and all(
        f"fold {number}  test/accuracy" in out for number in range(2)
    )


@pytest.mark.slow
def test_a_fold_equals_a_fit_of_its_own_and_the_same_command_again_changes_nothing(
    table: None, project: Project, tmp_path: Path
) -> None:
    words = ("--run.threads 1", TABLE)
    project("kfold --folds 2 --run all", *words)
    code, _, err = project("fit --data.folds 2 --data.fold 1 --run alone", *words)
    assert code == 0, err
    assert differing(tmp_path / "alone", tmp_path / "all" / "fold-1") == []
    before = {path: path.read_bytes() for path in (tmp_path / "all").rglob("metrics.csv")}
    code, _, _ = project("kfold --folds 2 --run all", *words)
    assert code == 0 and {path: path.read_bytes() for path in before} == before
    code, _, err = project("kfold --folds 2 --run all --model.optimizer.lr 0.5", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert (
        "fold 0: --model.optimizer.lr" in err
        and "another k-fold, in another folder: --run FOLDER" in err
    )


@pytest.mark.slow
def test_a_stopped_k_fold_goes_on_where_it_was(
    table: None, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("kfold --folds 2 --run.threads 1 --run.save_every 1", TABLE)
    project(*words, "--run whole")
    fit = folds.fit

    def killed(settings: Settings, run: Path, **options: Any) -> RunFolder | None:
        folder = fit(settings, run=run, **options)
        if run.name == "fold-1":
            raise SystemExit(143)
        return folder

    monkeypatch.setattr(folds, "fit", killed)
    code, out, _ = project(*words, "--run stopped")
    assert code == 143 and "stopped in fold 1; the same command continues it" in out
    assert not (tmp_path / "stopped" / "results.json").exists()
    newest = max((tmp_path / "stopped" / "fold-1" / "checkpoints").glob("step-*.ckpt"))
    newest.unlink()  # as if it had been stopped a step earlier
    monkeypatch.setattr(folds, "fit", fit)
    code, out, err = project(*words, "--run stopped")
    assert code == 0, err
    for name in ("fold-0", "fold-1"):
        assert differing(tmp_path / "whole" / name, tmp_path / "stopped" / name) == []
    for name in ("predictions.csv", "results.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "stopped" / name
        ).read_bytes()


@pytest.mark.parametrize("wrong", ["--trainer.limit_train_batches -1", "--data.fold 0"])
def test_a_refused_k_fold_leaves_no_folder(
    wrong: str, table: None, project: Project, tmp_path: Path
) -> None:
    code, _, err = project(f"kfold --folds 2 --run.threads 1 {TABLE} --run new/folds {wrong}")
    assert code == 2 and err.count("error:") == 1
    assert not (tmp_path / "new").exists()
