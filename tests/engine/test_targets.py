"""Every kind of target is looked at, trained on, tested, predicted and reported; the table tells all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from project.engine.spec import IGNORED
from project.engine.targets import FILLER, TARGETS, recognise
from tests.conftest import Project, the_rest_slow

SHORT = (
    "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --data.batch_size 8 --run.threads 1 "
    "--run.tensorboard false --run.report false"
)
DATA = {  # kind -> small data of it, and a network
    "class": "--data Digits --data.size 8 --model.net MLP --model.net.hidden [4]",
    "labels": "--data YesNoLabels --model.net MLP --model.loss BCEWithLogits",
    "number": "--data Numbers --model Regression --model.net.hidden [4]",
    "count": "--data Counts --model Regression --model.net.hidden [4]",
    "mask": "--data DigitMasks --data.size 8 --model Segmentation --model.net.channels [2,4]",
    "sequence": "--data Bars --model Transcription --model.net.channels [2,2,4]",
}


def test_each_kind_has_its_data() -> None:
    assert set(DATA) == set(TARGETS)


@pytest.mark.parametrize("kind", DATA)
def test_the_data_are_shown(kind: str, project: Project, tmp_path: Path) -> None:
    data = DATA[kind].partition(" --model")[0]
    code, out, err = project("show", data, "--run.threads 1")
    assert (code, err) == (0, "") and (tmp_path / "show.png").stat().st_size > 1000
    code, again, err = project("stats", data, "--run.threads 1")
    assert (code, err) == (0, "") and again in out


@pytest.mark.parametrize("kind", the_rest_slow(DATA, "class", "mask"))
def test_a_run_is_trained_tested_predicted_and_reported(
    kind: str, project: Project, tmp_path: Path
) -> None:
    for words in (
        f"fit {DATA[kind]} {SHORT} --run run",
        "test --ckpt_path run",
        "predict --ckpt_path run",
        "report run",
    ):
        code, _, err = project(words)
        assert (code, err) == (0, ""), words
    described = json.loads((tmp_path / "run/run.json").read_text())
    assert described["spec"]["target"] == kind and described["report"] == TARGETS[kind].report
    assert (tmp_path / "predictions.csv").read_text().startswith("id,")
    assert "<h2" in (tmp_path / "run/report.html").read_text()


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        (torch.tensor([0, 1, 2]), "class"),
        (torch.tensor([[0.0, 1.0], [1.0, 1.0]]), "labels"),
        (torch.tensor([[0.0, 1.5]]), "number"),
        (torch.tensor([0.0, 1.0]), "number"),
        (torch.tensor([[3], [0]]), "count"),
        (torch.tensor([[3, FILLER], [0, 1]]), "sequence"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), "mask"),
    ],
)
def test_a_kind_is_recognised_by_its_tensor(targets: torch.Tensor, kind: str) -> None:
    assert recognise(targets) == kind


@pytest.mark.parametrize(
    ("kind", "target", "text"),
    [
        ("class", torch.tensor(1), "cat"),
        ("class", torch.tensor([0.3, 0.7]), "cat 0.70 + owl 0.30"),
        ("labels", torch.tensor([1.0, 1.0]), "owl cat"),
        ("number", torch.tensor(1234.5), "1234.5"),
        ("number", torch.tensor([1.5, 2.0]), "1.5, 2"),
        ("count", torch.tensor([4]), "4"),
        ("sequence", torch.tensor([0, 1, FILLER]), "owl cat"),
        ("mask", torch.tensor([[0, 0], [1, IGNORED]]), "owl 0.50, cat 0.25"),
    ],
)
def test_a_target_is_written_for_people(kind: str, target: torch.Tensor, text: str) -> None:
    assert TARGETS[kind].text(("owl", "cat"), target) == text
