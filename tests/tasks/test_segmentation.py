"""Segmentation counts overlap as by hand, leaves ignored pixels out, takes the losses it names, and
learns.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn
from torchmetrics import Metric

from project.engine.errors import UserError
from project.engine.spec import IGNORED, Batch, DataSpec
from project.networks.lenet import LeNet
from project.networks.unet import UNet
from project.tasks.classification import Classification
from project.tasks.segmentation import Overlap, Segmentation
from project.training.dice import Dice
from tests.conftest import Project

TRUTH = torch.tensor([[[0, 0, 1, 1], [0, 1, 1, IGNORED]]], dtype=torch.uint8)
ANSWER = torch.tensor([[[0.0, 1, 1, 1], [0, 0, 1, 0]]])
THREE = torch.tensor([[[0, 0, 2, 2], [0, 2, 2, 2]]], dtype=torch.uint8)  # class 1 occurs in neither


def spec(classes: int = 2, height: int = 6, width: int = 8) -> DataSpec:
    names = ("background", "digit", "third", "fourth")[:classes]
    return DataSpec(((1, height, width),), classes, "mask", names, counts=(1,) * classes)


def batch(classes: int = 2, ignored: bool = False) -> Batch:
    draw = torch.Generator().manual_seed(0)
    masks = torch.randint(classes, (4, 6, 8), generator=draw, dtype=torch.uint8)
    images = masks.unsqueeze(1).float() + 0.1 * torch.randn(4, 1, 6, 8, generator=draw)
    if ignored:
        masks[:, 0] = IGNORED
    return Batch(images, masks, torch.arange(4), (0, 0))


@pytest.mark.parametrize(
    ("metric", "answer", "truth", "value"),
    [
        (Overlap(2, "dice"), ANSWER, TRUTH, 2 * 3 / (4 + 4)),
        (Overlap(2, "iou"), ANSWER, TRUTH, 3 / 5),
        (Overlap(2, "accuracy"), ANSWER, TRUTH, 5 / 7),
        (Overlap(3, "dice"), THREE.float(), THREE, 1.0),
        (Overlap(3, "dice"), torch.zeros(1, 2, 4), THREE, (2 * 3 / (8 + 3) + 0) / 2),
    ],
    ids=lambda value: "",
)
def test_overlap_is_as_by_hand(
    metric: Metric, answer: torch.Tensor, truth: torch.Tensor, value: float
) -> None:
    assert float(metric(answer, truth)) == pytest.approx(value)


def test_overlap_adds_pixels_up_over_batches_and_does_not_average_them() -> None:
    metric = Overlap(2, "dice")
    metric.update(ANSWER, TRUTH)
    metric.update(torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    assert float(metric.compute()) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("loss", "classes", "outputs"),
    [
        (Dice(), 2, 1),
        (nn.BCEWithLogitsLoss(), 2, 1),
        (nn.SoftMarginLoss(), 2, 1),
        (nn.CrossEntropyLoss(), 2, 2),
        (Dice(), 4, 4),
        (nn.CrossEntropyLoss(), 4, 4),
        (nn.NLLLoss(), 4, 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_each_loss_learns_masks(loss: nn.Module, classes: int, outputs: int) -> None:
    task = Segmentation(lambda made: UNet(made, [8, 16]), loss)
    task.build(spec(classes))
    assert task.net(batch().inputs).shape == (4, outputs, 6, 8)
    optimizer = torch.optim.AdamW(task.parameters(), lr=0.02)
    task.train()
    for _ in range(40):
        optimizer.zero_grad()
        value, predictions, targets = task.step(batch(classes))
        value.backward()
        optimizer.step()
    assert (predictions == targets).float().mean() > 0.95


@pytest.mark.parametrize(
    "loss",
    [Dice(), nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss()],
    ids=lambda loss: type(loss).__name__,
)
def test_an_ignored_pixel_changes_nothing(loss: nn.Module) -> None:
    task = Segmentation(lambda made: UNet(made, [4, 8]), loss)
    task.build(spec())
    task.eval()
    whole, with_ignored = batch(), batch(ignored=True)
    value, _, _ = task.step(with_ignored)
    task.net = Rest(task.net)
    rest, _, _ = task.step(Batch(whole.inputs, whole.targets[:, 1:], whole.ids, whole.position))
    assert float(value.detach()) == pytest.approx(float(rest.detach()))


class Rest(nn.Module):
    """The answer of a network without its first row of pixels."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)[:, :, 1:]


@pytest.mark.parametrize(("height", "width"), [(4, 4), (7, 9), (33, 16)])
def test_the_unet_answers_for_each_pixel_of_any_size(height: int, width: int) -> None:
    assert UNet(spec(3, height, width))(torch.zeros(2, 1, height, width)).shape == (
        2,
        3,
        height,
        width,
    )


NUMBER = DataSpec(((1, 28, 28),), 1, "number", ("price",), scale=((0.0, 1.0),))


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (Segmentation(), NUMBER, "Segmentation needs masks, .* 'number': model Regression"),
        (Segmentation(loss=nn.MSELoss()), spec(), "loss MSE is not for masks: use Dice"),
        (
            Segmentation(loss=nn.BCEWithLogitsLoss()),
            spec(3),
            "loss BCEWithLogits is for two classes, the data has 3",
        ),
        (
            Segmentation(LeNet),
            spec(2, 28, 28),
            r"LeNet outputs \(1,\); this data needs 1 x 28 x 28",
        ),
        (Segmentation(), spec(2, 2, 2), "UNet of 3 levels needs images of at least 4x4"),
        (Segmentation(lambda made: UNet(made, [])), spec(), r"net.channels \[\]"),
        (
            Classification(),
            spec(),
            "Classification needs classes, the target is a mask: model Segmentation",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_one_line(task: Segmentation, data: DataSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task.build(data)


def test_a_mask_reads_as_its_classes_and_their_shares() -> None:
    task = Segmentation()
    task.build(spec())
    assert task.to_columns(ANSWER) == {"prediction": ["background 0.50, digit 0.50"]}
    assert task.target_columns(TRUTH) == ["background 0.38, digit 0.50"]


@pytest.mark.slow
def test_it_trains_tests_and_predicts_from_the_command_line(
    project: Project, tmp_path: Path
) -> None:
    code, out, err = project(
        "fit --data DigitMasks --data.size 16 --data.augment Crop --model Segmentation "
        "--model.net.channels [4,8] "
        "--trainer.max_epochs 1 --trainer.limit_train_batches 4 --run.threads 1 "
        "--run.tensorboard false --name masks"
    )
    assert code == 0, err
    assert "val/dice" in out
    assert project("test --ckpt_path runs/masks/000")[0] == 0
    assert project("predict --ckpt_path runs/masks/000")[0] == 0
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert (
        rows
        and set(rows[0]) == {"id", "prediction", "target"}
        and "background" in rows[0]["target"]
    )
