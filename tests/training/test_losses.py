"""Losses have the values computed by hand, and each is shown answers and targets as it wants them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from project.cli.classes import load_class
from project.training import LOSSES
from project.training.losses import READINGS, label_lists, reading, with_opposites

TABLE, SIGNS = [[0.3, 0.7], [0.5, 0.5]], [[-1.0, 1.0], [1.0, -1.0]]
P, Q = [[0.9, 0.05, 0.05], [0.1, 0.7, 0.2]], [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]

# loss, what it compares, value by hand
VALUES: list[tuple[nn.Module, Any, Any, float]] = [
    (nn.L1Loss(), [1.0, 2, 3], [1.0, 2, 5], 0.6667),
    (nn.MSELoss(), [1.0, 2, 3], [1.0, 2, 5], 1.3333),
    (nn.SmoothL1Loss(), [1.0, 2, 3], [1.0, 2, 5], 0.5),
    (nn.HuberLoss(delta=0.5), [1.0, 2, 3], [1.0, 2, 5], 0.2917),
    (nn.CrossEntropyLoss(), [[0.5, 0.36, 0.23]], [0], 0.9680),
    (nn.NLLLoss(), [[-0.9680, -1.1080, -1.2380]], [0], 0.9680),
    (nn.SoftMarginLoss(), TABLE, SIGNS, 0.6764),
    (nn.MultiMarginLoss(), TABLE, [0, 1], 0.6000),
    (nn.HingeEmbeddingLoss(), [1.0, 0.8, 0.5], [1.0, 1.0, -1.0], 0.7667),
    (nn.KLDivLoss(reduction="mean"), Q, P, -0.3335),
    (nn.MultiLabelMarginLoss(), [[0.9, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]], 0.4500),
    (nn.BCELoss(), [0.8, 0.4], [1.0, 0.0], -(math.log(0.8) + math.log(0.6)) / 2),
    (nn.BCEWithLogitsLoss(), [0.0, 2.0], [1.0, 1.0], (math.log(2) + math.log(1 + math.exp(-2))) / 2),
    (nn.PoissonNLLLoss(), [0.0, 1.0], [2.0, 3.0], (1 + math.e - 3) / 2),
    (nn.MultiLabelSoftMarginLoss(), [[0.0, 0.0]], [[1.0, 0.0]], math.log(2)),
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(("loss", "answers", "targets", "value"), VALUES, ids=lambda v: type(v).__name__)
def test_a_loss_has_the_value_computed_by_hand(loss: nn.Module, answers: Any, targets: Any, value: float) -> None:
    assert float(loss(torch.tensor(answers), torch.tensor(targets))) == pytest.approx(value, abs=5e-5)


def test_a_gaussian_weighs_an_error_by_its_variance() -> None:
    mean, target, variance = torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([4.0])
    assert float(nn.GaussianNLLLoss()(mean, target, variance)) == pytest.approx(0.5 * (math.log(4) + 1))


def test_labels_become_lists_of_what_occurs_and_what_does_not() -> None:
    table = torch.tensor([[1.0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    rest = [-1] * 4
    assert label_lists(table).tolist() == [[0, 1, 3, 6, *rest], [4, 5, 6, 7, *rest], [2, 4, 5, 7, *rest]]
    assert with_opposites(table[:1]).tolist() == [[1, 1, 0, 1, -1, -1, 0, -1]]


@pytest.mark.parametrize("name", LOSSES)
def test_each_short_name_is_a_loss_with_a_reading(name: str) -> None:
    loss = load_class(LOSSES[name][0], name)
    assert issubclass(loss, nn.Module)
    assert loss in READINGS, "what it compares stands in the table"


def test_a_loss_of_ones_own_reads_answers_as_they_are() -> None:
    assert reading(nn.TripletMarginLoss()).answers(torch.ones(1)) == 1
