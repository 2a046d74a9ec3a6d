"""Metrics by name: scikit-learn's values, one line where they do not fit, in every report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from project.engine.bases.metrics import MetricAccumulator
from project.engine.building import metrics as M
from project.engine.cli.classes import slot_at
from project.engine.errors import UserError
from project.engine.registry import TABLES
from project.engine.spec import IGNORED, DataSpec
from tests.conftest import Project

K = 4


def spec(target: str, outputs: int = K, names: int = K) -> DataSpec:
    return DataSpec(
        inputs=((3,),), outputs=outputs, target=target, names=tuple(map(str, range(names)))
    )


def drawn(kind: str) -> tuple[Tensor, Tensor]:
    """Predictions and targets of 500 samples that have something to do with each other."""
    draw = torch.Generator().manual_seed(1)
    if kind == "class":
        targets = torch.randint(0, K, (500,), generator=draw)
        logits = torch.randn(500, K, generator=draw)
        return logits + torch.nn.functional.one_hot(targets, K), targets
    if kind == "binary":
        targets = torch.randint(0, 2, (500,), generator=draw)
        return 0.4 * torch.rand(500, generator=draw) + 0.3 * targets - 0.2, targets
    if kind == "labels":
        targets = torch.randint(0, 2, (500, K), generator=draw)
        return torch.randn(500, K, generator=draw) + targets, targets
    if kind == "mask":
        targets = torch.randint(0, K, (50, 4, 4), generator=draw)
        wrong = torch.rand(50, 4, 4, generator=draw) < 0.3
        predictions = torch.where(wrong, (targets + 1) % K, targets)
        targets[0, 0] = IGNORED
        return predictions, targets
    values = 1e5 + 100 * torch.randn(500, 2, generator=draw)
    return values + 30 * torch.randn(500, 2, generator=draw), values


SPECS = {
    "class": spec("class"),
    "binary": spec("class", outputs=1, names=2),
    "labels": spec("labels"),
    "mask": spec("mask"),
    "number": spec("number", outputs=2, names=2),
}


def standardised(values: Tensor) -> Tensor:
    return (values - 1e5) / 100


def value(choice: M.MetricChoice, kind: str) -> float:
    """A metric over all samples, in batches as a run has them."""
    (metric,) = M.built([choice], ("loss",), SPECS[kind], standardised).values()
    accumulator = MetricAccumulator({"it": metric})
    predictions, targets = drawn(kind)
    for answer, truth in zip(predictions.split(64), targets.split(64), strict=True):
        accumulator.add(torch.tensor(0.0), answer, truth)
        accumulator.flush()
    return float(accumulator.compute()["it"])


def chances(kind: str) -> np.ndarray:
    logits = drawn(kind)[0].double()
    return (logits.softmax(1) if kind == "class" else logits.sigmoid()).numpy()


def answers(kind: str) -> np.ndarray:
    logits = drawn(kind)[0]
    if kind == "mask":
        return logits.flatten()[4:].numpy()
    return (logits.argmax(1) if kind == "class" else (logits > 0).int()).numpy()


def truth(kind: str) -> np.ndarray:
    targets = drawn(kind)[1]
    return targets.flatten()[4:].numpy() if kind == "mask" else targets.numpy()


def by(name: str, kind: str, **options: Any) -> Callable[[Any], float]:
    """scikit-learn's function of answers."""
    return lambda sk: float(getattr(sk, name)(truth(kind), answers(kind), **options))


def scored(name: str, kind: str, **options: Any) -> Callable[[Any], float]:
    """scikit-learn's function of probabilities."""
    return lambda sk: float(getattr(sk, name)(truth(kind), chances(kind), **options))


def specificity(kind: str) -> Callable[[Any], float]:
    return lambda sk: float(sk.recall_score(truth(kind), answers(kind), pos_label=0))


ROWS: dict[str, tuple[M.MetricChoice, str, Callable[[Any], float]]] = {
    "f1": (M.F1(), "class", by("f1_score", "class", average="macro")),
    "f1 weighted": (M.F1(average="weighted"), "class", by("f1_score", "class", average="weighted")),
    "f1 of yes and no": (M.F1(), "binary", by("f1_score", "binary")),
    "f1 of labels": (M.F1(), "labels", by("f1_score", "labels", average="macro")),
    "f1 of masks": (M.F1(), "mask", by("f1_score", "mask", average="macro")),
    "fbeta": (M.FBeta(beta=0.5), "class", by("fbeta_score", "class", average="macro", beta=0.5)),
    "precision": (M.Precision(), "class", by("precision_score", "class", average="macro")),
    "recall": (M.Recall(), "class", by("balanced_accuracy_score", "class")),
    "recall of labels": (M.Recall(), "labels", by("recall_score", "labels", average="macro")),
    "specificity": (M.Specificity(), "binary", specificity("binary")),
    "jaccard": (M.Jaccard(), "class", by("jaccard_score", "class", average="macro")),
    "jaccard of masks": (M.Jaccard(), "mask", by("jaccard_score", "mask", average="macro")),
    "auroc": (M.AUROC(), "class", scored("roc_auc_score", "class", multi_class="ovr")),
    "auroc of yes and no": (M.AUROC(), "binary", scored("roc_auc_score", "binary")),
    "auroc of labels": (M.AUROC(), "labels", scored("roc_auc_score", "labels")),
    "average precision": (
        M.AveragePrecision(),
        "labels",
        scored("average_precision_score", "labels"),
    ),
    "top 2": (M.TopK(top_k=2), "class", scored("top_k_accuracy_score", "class", k=2)),
    "mcc": (M.MCC(), "class", by("matthews_corrcoef", "class")),
    "mcc of yes and no": (M.MCC(), "binary", by("matthews_corrcoef", "binary")),
    "kappa": (M.Kappa(), "class", by("cohen_kappa_score", "class")),
    "kappa by distance": (
        M.Kappa(weights="quadratic"),
        "class",
        by("cohen_kappa_score", "class", weights="quadratic"),
    ),
    "hamming": (M.Hamming(), "labels", by("hamming_loss", "labels")),
}
NUMBERS: dict[str, tuple[M.MetricChoice, Callable[[np.ndarray, np.ndarray], float]]] = {
    "mse": (M.MSE(), lambda a, t: float(np.square(a - t).mean())),
    "mape": (M.MAPE(), lambda a, t: float(np.abs((a - t) / t).mean())),
    "smape": (M.SMAPE(), lambda a, t: float((2 * np.abs(a - t) / (np.abs(a) + np.abs(t))).mean())),
    "msle": (M.MSLE(), lambda a, t: float(np.square(np.log1p(a) - np.log1p(t)).mean())),
    "explained variance": (
        M.ExplainedVariance(),
        lambda a, t: float((1 - (a - t).var(0) / t.var(0)).mean()),
    ),
    "pearson": (
        M.Pearson(),
        lambda a, t: float(np.mean([np.corrcoef(a[:, i], t[:, i])[0, 1] for i in range(2)])),
    ),
    "spearman": (
        M.Spearman(),
        lambda a, t: float(
            np.mean([np.corrcoef(ranks(a[:, i]), ranks(t[:, i]))[0, 1] for i in range(2)])
        ),
    ),
}


def ranks(values: np.ndarray) -> np.ndarray:
    return values.argsort().argsort()


@pytest.mark.parametrize("name", ROWS)
def test_a_metric_of_classes_is_scikit_learns(name: str) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    choice, kind, wanted = ROWS[name]
    assert value(choice, kind) == pytest.approx(wanted(sk), abs=1e-6)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_metric_of_numbers_is_its_formula_far_from_zero(name: str) -> None:
    choice, wanted = NUMBERS[name]
    answer, target = (values.double().numpy() for values in drawn("number"))
    assert value(choice, "number") == pytest.approx(wanted(answer, target), rel=1e-5, abs=1e-6)


def test_every_name_of_the_table_is_a_class_and_refuses_what_it_is_not_for() -> None:
    slot = slot_at(("model", "metrics"))
    assert slot is not None and slot.table is TABLES["metrics"]
    for name in slot.table:
        choice = getattr(M, name)()
        fits = [kind for kind in SPECS if not refused(choice, kind)]
        assert fits and ("number" in fits) == isinstance(choice, M.OfNumbers)


def refused(choice: M.MetricChoice, kind: str) -> bool:
    if isinstance(choice, M.TopK):
        choice = dataclasses.replace(choice, top_k=2)
    try:
        M.built([choice], (), SPECS[kind], standardised)
    except UserError as error:
        return "it is for" in str(error)
    return False


SHORT = "--run.tensorboard false --run.threads 1 --data.size 8 --model.net MLP"


def test_they_are_monitored_reported_and_the_same_after_a_test(project: Project) -> None:
    words = "--model.metrics [F1,AUROC] --model.metrics+ FBeta --model.metrics+.beta 0.5"
    code, out, err = project(
        f"fit {words} --model.monitor val/f1 {SHORT} --trainer.max_epochs 2 --run r"
    )
    assert (code, err) == (0, "") and "val/f1 (monitored)" in out
    code, out, err = project("report r")
    assert (code, err) == (0, "") and "val/fbeta" in Path("r/report.html").read_text()
    results = json.loads(Path("r/results.json").read_text())
    assert results["best"]["monitor"] == "val/f1" and "val/auroc" in results["best"]["metrics"]
    header = Path("r/metrics.csv").read_text().splitlines()[0]
    assert {"train/f1", "val/auroc", "train/fbeta"} <= {*header.split(",")}
    code, out, err = project("test --ckpt_path r")
    assert (code, err) == (0, "") and "test/auroc" in out
    sk = pytest.importorskip("sklearn.metrics")
    with np.load("r/predictions-test.npz") as kept:
        wanted = sk.f1_score(kept["target"], kept["prediction"].argmax(1), average="macro")
    assert json.loads(Path("r/results.json").read_text())["test"]["test/f1"] == pytest.approx(
        wanted, abs=1e-6
    )


MISTAKES = {
    "F2": "--model.metrics: unknown metric 'F2'",
    "Pearson": "--model.metrics Pearson: it is for numbers, not class",
    "[F1,F1]": "two are called f1; F1 takes another `name`",
    "TopK --model.metrics.top_k 11": "top_k is from 1 to 10 classes",
    "F1 --model.metrics.beta 2": "F1 has no such argument",
    "F1 --model.metrics.average most": "expected one of micro, macro, weighted",
    "F1 --model MetricLearning --model.net CNN": "MetricLearning has its own: neighbour",
    "F1 --model.monitor val/f2": "nothing reports 'val/f2'; did you mean val/f1",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line(words: str, project: Project) -> None:
    net = "" if "CNN" in words else SHORT
    code, _, err = project(f"fit --model.metrics {words} {net} --trainer.max_epochs 1")
    assert MISTAKES[words] in err and (code, err.count("\n")) == (2, 1), err
