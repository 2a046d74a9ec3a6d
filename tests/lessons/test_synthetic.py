"""The first lessons end where they should."""

from __future__ import annotations

import pytest
import torch

import project as package
from project.engine.loading.arrays import Arrays
from project.lessons.synthetic import Plane
from tests.conftest import REPOSITORY, Project

LESSONS = REPOSITORY / "configs" / "lessons"


def train(name: str, project: Project) -> torch.nn.Module:
    code, _, err = project(
        ["fit", "--config", str(LESSONS / f"{name}.yaml"), "--run", "run"], "--run.threads 1"
    )
    assert code == 0, err
    return package.load("run")


@pytest.mark.template
def test_linear_regression_recovers_the_plane(project: Project) -> None:
    task = train("linear_regression", project)
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        values = (task(points) * task.target_std + task.target_mean).squeeze(1)
    bias, weights = float(values[0]), (values[1:] - values[0]).tolist()
    assert bias == pytest.approx(4.2, abs=0.01)
    assert weights == pytest.approx([2.0, -3.4], abs=0.01)


@pytest.mark.template
def test_logistic_regression_finds_the_boundary(project: Project) -> None:
    task = train("logistic_regression", project)
    weight, bias = (parameter.item() for parameter in task.parameters())
    assert -bias / weight == pytest.approx(2.5, abs=0.05)


def test_outliers_are_in_the_training_split_alone() -> None:
    clean, ruined = Plane(), Plane(outliers=0.25)
    for split in ("train", "val", "test"):
        parts = clean.part(split), ruined.part(split)
        assert isinstance(parts[0], Arrays) and isinstance(parts[1], Arrays)
        assert torch.equal(parts[0].stored[0], parts[1].stored[0])
        error = torch.as_tensor(parts[1].targets) - torch.as_tensor(parts[0].targets)
        share = float((error > 50).float().mean())
        assert share == pytest.approx(0.25, abs=0.05) if split == "train" else share == 0
