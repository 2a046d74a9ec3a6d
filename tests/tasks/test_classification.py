"""Classes, yes or no, and labels reach the loss as it wants them; what does not fit is one line."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from project.engine.errors import UserError
from project.engine.spec import Batch, DataSpec
from project.networks.mlp import MLP
from project.tasks.classification import Classification

FRUIT = DataSpec(((4,),), 3, "class", ("apple", "pear", "plum"), counts=(10, 20, 30))
LABELS = dataclasses.replace(FRUIT, target="labels")
COUNTS = dataclasses.replace(
    FRUIT, target="count", outputs=1, names=("apples",), scale=((2.0, 1.0),)
)


def batch(targets: torch.Tensor) -> Batch:
    return Batch(torch.ones(len(targets), 4), targets, torch.arange(len(targets)), (0, 0))


@pytest.mark.parametrize(
    ("loss", "outputs"), [(nn.BCEWithLogitsLoss(), 1), (nn.CrossEntropyLoss(), 2)]
)
def test_some_classes_mean_yes_and_all_others_no(loss: nn.Module, outputs: int) -> None:
    task = Classification(MLP, loss, positive=["pear", "plum"], class_weights="balanced")
    task.build(FRUIT)
    assert task.spec is not None
    assert (task.spec.names, task.spec.outputs, task.spec.counts) == (
        ("other", "pear+plum"),
        outputs,
        (10, 50),
    )
    _, _, truth = task.step(batch(torch.tensor([0, 1, 2])))
    assert truth.tolist() == [0, 1, 1]
    blended = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    _, _, truth = task.step(batch(blended))
    assert truth.tolist() == [0, 1], "shares of classes add up"


def test_classes_that_are_numbers_can_be_positive_as_a_config_writes_them() -> None:
    task = Classification(MLP, positive=[1, "3"])
    task.build(DataSpec(((4,),), 4, "class", tuple("0123"), counts=(1,) * 4))
    assert task.step(batch(torch.arange(4)))[2].tolist() == [0, 1, 0, 1]


def test_a_margin_between_labels_has_its_boundary_at_zero() -> None:
    task = Classification(MLP, nn.MultiLabelMarginLoss())
    task.build(LABELS)
    truth = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0, 0, 0]])
    parameter = nn.Parameter(torch.full((3, 3), 5.0))  # begins with every label on
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    for _ in range(200):
        task.net.forward = lambda inputs: parameter  # type: ignore[method-assign, assignment]
        optimizer.zero_grad()
        task.step(batch(truth))[0].backward()
        optimizer.step()
    assert torch.equal(parameter > 0, truth > 0.5)


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (
            Classification(positive=["pera"]),
            FRUIT,
            "positive: unknown class 'pera'; did you mean pear",
        ),
        (Classification(positive=["apple", "pear", "plum"]), FRUIT, "no class is left to mean no"),
        (
            Classification(positive=["pear"]),
            LABELS,
            "positive needs classes, the target is of kind 'labels'",
        ),
        (
            Classification(),
            COUNTS,
            "Classification needs classes, the target is a count: model Regression",
        ),
        (
            Classification(loss=nn.CrossEntropyLoss(torch.ones(2))),
            FRUIT,
            "loss.weight: 2 numbers, expected 3, for apple, pear, plum",
        ),
        (
            Classification(loss=nn.BCEWithLogitsLoss(pos_weight=torch.ones(2))),
            LABELS,
            "loss.pos_weight: 2 numbers",
        ),
        (
            Classification(loss=nn.BCEWithLogitsLoss()),
            FRUIT,
            "is for two classes or labels, the data has 3 classes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_one_line(task: Classification, data: DataSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task.build(data)


def test_mirrored_answers_are_the_mean_of_both_views() -> None:
    spec = DataSpec(((1, 8, 8),), 10, "class", names=tuple("0123456789"), counts=(1,) * 10)
    task = Classification(MLP, mirrored=True)
    task.build(spec)
    images, classes = torch.randn(4, 1, 8, 8), torch.arange(4)
    batch = Batch(images, classes, torch.arange(4), (0, 0))
    both = (task.net(images) + task.net(images.flip(3))) / 2
    task.eval()
    assert torch.equal(task.step(batch)[1], both)
    task.train()
    assert torch.equal(task.step(batch)[1], task.net(images))


def test_only_images_are_mirrored() -> None:
    with pytest.raises(UserError, match="mirrored needs images, the inputs are of 4"):
        Classification(MLP, mirrored=True).adapt(FRUIT)
