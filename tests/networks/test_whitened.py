"""The first layer of WhitenedCNN makes the values of image patches independent, and stays so."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from project import load
from project.engine import DataSpec, UserError
from project.engine.randomness import generator
from project.networks.whitened import WhitenedCNN
from tests.conftest import Project

SPEC = DataSpec(((3, 32, 32),), 10, "class")


def test_whitened_patches_are_independent_and_of_one_size() -> None:
    draw = generator("white")
    images = torch.randn(64, 3, 32, 32, generator=draw)
    images = F.avg_pool2d(images, 5, 1, 2) + images[:, :1]  # neighbours and channels go together
    net = WhitenedCNN(SPEC, (8, 8, 8))
    net.first_look(images)
    found = F.conv2d(images, net.whitening[:12]).transpose(0, 1).reshape(12, -1)
    covariance = found @ found.T / found.shape[1]
    sizes = covariance.diagonal()  # what hardly varies is not blown up to 1
    assert float((covariance - sizes.diag()).abs().max()) < 0.01
    assert float(sizes.max()) < 1.01 and float(sizes.min()) > 0.3
    assert torch.equal(net.whitening[12:], -net.whitening[:12])


def test_a_run_keeps_the_whitening_of_its_own_training_images(project: Project) -> None:
    tiny = "--data.size 16 --run.report false --run.tensorboard false"
    words = f"--model.net WhitenedCNN --model.net.widths [4,4,4] {tiny}"
    code, _, err = project("fit --run a --trainer.max_epochs 1", words)
    assert code == 0, err
    first = load("a").net.whitening
    assert float(first.abs().sum()) > 0
    code, _, err = project("fit --run a --trainer.max_epochs 2 --run.report false")
    assert code == 0, err
    assert torch.equal(load("a").net.whitening, first)
    code, _, err = project("fit --run b --weights a --trainer.max_epochs 1", words)
    assert code == 0, err
    assert torch.equal(load("b").net.whitening, first)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(UserError, match="at least"):
        WhitenedCNN(DataSpec(((3, 8, 8),), 10, "class"))
