"""Losses have the values computed by hand, and each is shown outputs and targets as it wants
them.
"""

from __future__ import annotations

import inspect
import json
import math
from typing import Any

import pytest
import torch
from torch import nn

from project.engine.building.losses import (
    LOSS_SPECS,
    check_options,
    label_lists,
    loss_spec,
    losses_for,
    with_opposites,
)
from project.engine.cli.classes import load_class
from project.engine.cli.parser import ProjectCLI
from project.engine.cli.settings import Settings, from_assignments
from project.engine.errors import UserError
from project.engine.registry import TABLES
from project.training.dice import Dice

TABLE, SIGNS = [[0.3, 0.7], [0.5, 0.5]], [[-1.0, 1.0], [1.0, -1.0]]
P, Q = [[0.9, 0.05, 0.05], [0.1, 0.7, 0.2]], [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]

HALF = [
    [[math.log(0.5)] * 2]
] * 2  # two columns, in each of them a blank and a character as likely as each other

# loss, what it compares, value by hand
VALUES: list[tuple[nn.Module, list[Any], float]] = [
    (nn.L1Loss(), [[1.0, 2, 3], [1.0, 2, 5]], 0.6667),
    (nn.MSELoss(), [[1.0, 2, 3], [1.0, 2, 5]], 1.3333),
    (nn.SmoothL1Loss(), [[1.0, 2, 3], [1.0, 2, 5]], 0.5),
    (nn.HuberLoss(delta=0.5), [[1.0, 2, 3], [1.0, 2, 5]], 0.2917),
    (nn.CrossEntropyLoss(), [[[0.5, 0.36, 0.23]], [0]], 0.9680),
    (nn.NLLLoss(), [[[-0.9680, -1.1080, -1.2380]], [0]], 0.9680),
    (nn.SoftMarginLoss(), [TABLE, SIGNS], 0.6764),
    (nn.MultiMarginLoss(), [TABLE, [0, 1]], 0.6000),
    (nn.KLDivLoss(reduction="mean"), [Q, P], -0.3335),
    (nn.BCELoss(), [[0.8, 0.4], [1.0, 0.0]], -(math.log(0.8) + math.log(0.6)) / 2),
    (
        nn.BCEWithLogitsLoss(),
        [[0.0, 2.0], [1.0, 1.0]],
        (math.log(2) + math.log(1 + math.exp(-2))) / 2,
    ),
    (nn.PoissonNLLLoss(), [[0.0, 1.0], [2.0, 3.0]], (1 + math.e - 3) / 2),
    (nn.GaussianNLLLoss(), [[1.0], [3.0], [4.0]], (math.log(4) + 4 / 4) / 2),
    (nn.MultiLabelMarginLoss(), [[[0.9, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]]], 0.4500),
    (nn.MultiLabelSoftMarginLoss(), [[[0.0, 0.0]], [[1.0, 0.0]]], math.log(2)),
    (nn.HingeEmbeddingLoss(), [[1.0, 0.8, 0.5], [1.0, 1.0, -1.0]], 0.7667),
    (
        nn.CosineEmbeddingLoss(margin=0.1),
        [[[1.0, 0], [1, 0]], [[1.0, 0], [0.6, 0.8]], [1, -1]],
        (0 + 0.5) / 2,
    ),
    (nn.TripletMarginLoss(), [[[0.0, 0]], [[3.0, 4]], [[0.0, 2]]], 5 - 2 + 1),
    (nn.MarginRankingLoss(margin=0.5), [[1.0, 2, 3], [2.0, 1, 3], [1, 1, -1]], (1.5 + 0 + 0.5) / 3),
    (nn.CTCLoss(), [HALF, [[1]], [2], [1]], -math.log(3 / 4)),  # three of four paths: 11, _1, 1_
    (Dice(smooth=0.0), [[0.0, 0.0], [1, 0]], 1 - 2 * 0.5 / (0.25 + 0.25 + 1)),
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(("loss", "compared", "value"), VALUES, ids=lambda v: type(v).__name__)
def test_a_loss_has_the_value_computed_by_hand(
    loss: nn.Module, compared: list[Any], value: float
) -> None:
    assert float(loss(*map(torch.tensor, compared))) == pytest.approx(value, abs=5e-5)


def test_each_loss_has_a_value_by_hand() -> None:
    assert {type(loss) for loss, _, _ in VALUES} == {*LOSS_SPECS, Dice}


# loss -> every option it has, as the command line writes it
OPTIONS: dict[str, dict[str, str]] = {
    "CrossEntropy": {
        "weight": "[1,2,3]",
        "ignore_index": "0",
        "reduction": "sum",
        "label_smoothing": "0.1",
    },
    "NLL": {"weight": "[1,2,3]", "ignore_index": "0", "reduction": "sum"},
    "MultiMargin": {"p": "2", "margin": "0.5", "weight": "[1,2,3]", "reduction": "sum"},
    "KLDiv": {"reduction": "batchmean", "log_target": "false"},
    "BCEWithLogits": {"weight": "[1,2,3]", "reduction": "sum", "pos_weight": "[3,2,1]"},
    "BCE": {"weight": "[1,2,3]", "reduction": "sum"},
    "SoftMargin": {"reduction": "sum"},
    "MultiLabelSoftMargin": {"weight": "[1,2,3]", "reduction": "sum"},
    "MultiLabelMargin": {"reduction": "sum"},
    "MSE": {"reduction": "sum"},
    "L1": {"reduction": "sum"},
    "SmoothL1": {"reduction": "sum", "beta": "0.1"},
    "Huber": {"reduction": "sum", "delta": "0.1"},
    "PoissonNLL": {"log_input": "false", "full": "true", "eps": "1e-5", "reduction": "sum"},
    "GaussianNLL": {"full": "true", "eps": "1e-5", "reduction": "sum"},
    "TripletMargin": {"margin": "0.5", "p": "1", "eps": "1e-5", "swap": "true", "reduction": "sum"},
    "CosineEmbedding": {"margin": "0.5", "reduction": "sum"},
    "HingeEmbedding": {"margin": "0.5", "reduction": "sum"},
    "MarginRanking": {"margin": "0.5", "reduction": "sum"},
    "Dice": {"smooth": "0.5"},
    "CTC": {"blank": "10", "reduction": "sum", "zero_infinity": "true"},
}
DEPRECATED = {"size_average", "reduce"}


@pytest.mark.parametrize("name", TABLES["losses"])
def test_every_option_of_a_loss_is_one_of_the_command_line(name: str) -> None:
    options = OPTIONS[name]
    assert {*options} == {
        *inspect.signature(load_class(TABLES["losses"][name][0], name)).parameters
    } - DEPRECATED
    settings = Settings()
    settings.add(
        from_assignments(
            [
                ("model.loss", name),
                *((f"model.loss.{key}", value) for key, value in options.items()),
            ]
        )
    )
    cli = ProjectCLI(settings, seeds=False)
    cli.build()
    for key, value in options.items():
        got = getattr(cli.model.loss, key)
        wanted = value if key == "reduction" else json.loads(value)
        assert (got.tolist() if isinstance(got, torch.Tensor) else got) == wanted, key


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            nn.MSELoss(reduction="none"),
            "loss.reduction none: a batch has one loss, so it is one of mean, sum",
        ),
        (nn.L1Loss(reduction="batchmean"), "loss.reduction batchmean"),
        (
            nn.KLDivLoss(reduction="median"),
            "median: a batch has one loss, so it is one of mean, sum, batchmean",
        ),
        (
            nn.KLDivLoss(log_target=True),
            "loss.log_target: targets are shares of classes, not their logarithms",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_that_no_task_can_use_is_one_line(loss: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_options(loss)


def test_labels_become_lists_of_what_occurs_and_what_does_not() -> None:
    table = torch.tensor([[1.0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    rest = [-1] * 4
    assert label_lists(table).tolist() == [
        [0, 1, 3, 6, *rest],
        [4, 5, 6, 7, *rest],
        [2, 4, 5, 7, *rest],
    ]
    assert with_opposites(table[:1]).tolist() == [[1, 1, 0, 1, -1, -1, 0, -1]]


@pytest.mark.parametrize("name", TABLES["losses"])
def test_each_short_name_is_a_loss_with_a_reading(name: str) -> None:
    loss = load_class(TABLES["losses"][name][0], name)
    assert issubclass(loss, nn.Module)
    assert loss in LOSS_SPECS or hasattr(loss, "reads"), "what it compares is said"


def test_a_loss_of_ones_own_reads_answers_as_they_are() -> None:
    assert loss_spec(nn.TripletMarginLoss()).outputs(torch.ones(1)) == 1
    assert loss_spec(Dice()).kinds == ("mask",) and "Dice" in losses_for("mask")
