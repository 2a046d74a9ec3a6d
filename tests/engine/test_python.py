"""The pieces work in plain Python too, without the command line."""

from __future__ import annotations

import functools

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn

import project as package
from project.data.digits import Digits
from project.engine.bases.data import DataModule
from project.engine.bases.network import Network
from project.engine.loading.arrays import Arrays
from project.engine.spec import Batch, DataSpec
from project.networks.lenet import LeNet
from project.networks.mlp import MLP
from project.tasks.classification import Classification
from project.tasks.regression import Regression
from tests.conftest import Project


def trainer(epochs: int = 2) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def test_a_task_trains_on_data_with_a_plain_trainer() -> None:
    task, data = Classification(functools.partial(LeNet, dropout=0.1)), Digits(size=12)
    fit = trainer(8)
    fit.fit(task, datamodule=data)
    assert fit.callback_metrics["val/accuracy"] > 0.8
    (metrics,) = fit.test(task, datamodule=data, verbose=False)
    assert set(metrics) == {"test/accuracy", "test/loss"}
    assert fit.callback_metrics["test/accuracy"] > 0.7


@pytest.mark.slow
def test_a_trained_task_is_loaded_in_one_line(project: Project) -> None:
    project(
        "fit --data.size 12 --trainer.max_epochs 8 --run.threads 1 --run.tensorboard false --run "
        "run"
    )
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    task = package.load("run")
    assert torch.equal(torch.rand(1), expected), "loading leaves the caller's generators alone"
    assert not task.training and task.spec is not None and task.spec.names[3] == "3"
    data = Digits(size=12)
    data.restore(task.preprocessing)
    data.setup("test")
    right = total = 0
    for batch in data.test_dataloader():
        batch = data.on_after_batch_transfer(batch, 0)
        right += int((task(batch.inputs).argmax(1) == batch.targets).sum())
        total += len(batch.targets)
    assert total == 360 and right / total > 0.7


class Waves(DataModule):
    """A dataset of one's own: two numbers and the sine of their sum."""

    splits = ("train",)

    def load(self, split: str) -> Arrays:
        inputs = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 3
        return Arrays(inputs, 100 * inputs.sum(1).sin() + 50)


class Wide(Network):
    """A network of one's own."""

    def __init__(self, spec: DataSpec, width: int = 64) -> None:
        super().__init__(spec)
        self.layers = nn.Sequential(
            nn.Linear(spec.inputs[0][0], width), nn.Tanh(), nn.Linear(width, spec.outputs)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


class Squares(Regression):
    """A task of one's own that logs in Lightning's way."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log(
            "train/root", loss.sqrt(), on_epoch=True, on_step=False, batch_size=len(batch.targets)
        )
        return loss


def test_a_dataset_a_network_and_a_task_of_ones_own_meet() -> None:
    task = Squares(Wide, optimizer=functools.partial(torch.optim.Adam, lr=0.02))
    fit = trainer(30)
    fit.fit(task, datamodule=Waves(batch_size=50))
    assert task.spec == DataSpec(((2,),), 1, "number", ("target0",), scale=task.spec.scale)
    assert fit.callback_metrics["val/r2"] > 0.95
    assert fit.callback_metrics["val/mae"] < 20, "in the units of the target"
    assert "train/root" in fit.callback_metrics


class Pairs(Waves):
    """Two labels a sample."""

    names = ("left", "right")

    def load(self, split: str) -> Arrays:
        inputs = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
        return Arrays(inputs, (inputs[:, :2] > 0.2).float())


class Yes(Waves):
    """Two classes, one of them rare."""

    names = ("no", "yes")

    def load(self, split: str) -> Arrays:
        inputs = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
        return Arrays(inputs, (inputs[:, 0] + 0.7 * inputs[:, 1] > 2).long())


def test_labels_are_learnt_together() -> None:
    fit = trainer(15)
    task = Classification(
        MLP, nn.BCEWithLogitsLoss(), optimizer=functools.partial(torch.optim.Adam, lr=0.01)
    )
    fit.fit(task, datamodule=Pairs())
    assert task.spec is not None and (task.spec.target, task.spec.outputs) == ("labels", 2)
    assert fit.callback_metrics["val/accuracy"] > 0.95
    assert task.to_columns(torch.tensor([[3.0, -3.0], [2.0, 2.0], [-1.0, -1.0]])) == {
        "prediction": ["left", "left right", ""]
    }


def test_two_classes_are_one_logit_with_binary_cross_entropy() -> None:
    fit = trainer(10)
    task = Classification(
        MLP, nn.BCEWithLogitsLoss(), optimizer=functools.partial(torch.optim.Adam, lr=0.01)
    )
    fit.fit(task, datamodule=Yes())
    assert task.spec is not None and task.spec.outputs == 1
    assert fit.callback_metrics["val/accuracy"] > 0.95
    assert task.to_columns(torch.tensor([[4.0], [-4.0]]).squeeze(1))["prediction"] == ["yes", "no"]


def recall(task: Classification, data: DataModule) -> float:
    """The share of rare samples that are found after three epochs of a linear model."""
    trainer(3).fit(task, datamodule=data)
    batch = next(iter(data.val_dataloader()))
    with torch.no_grad():
        outputs = task(batch.inputs)
    found = outputs.squeeze(1) > 0 if outputs.shape[1] == 1 else outputs.argmax(1) == 1
    return float(found[batch.targets == 1].float().mean())


def test_balancing_the_loss_or_the_samples_finds_the_rare_class() -> None:
    task = functools.partial(
        Classification,
        functools.partial(MLP, hidden=()),
        optimizer=functools.partial(torch.optim.Adam, lr=0.02),
    )
    plain = recall(task(), Yes())
    assert plain < 0.6
    assert recall(task(class_weights="balanced"), Yes()) > 0.9
    assert recall(task(loss=nn.BCEWithLogitsLoss(), class_weights="balanced"), Yes()) > 0.9
    assert recall(task(), Yes(balance=True)) > 0.9
