"""Regression: one number or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, R2Score

from project.errors import UserError
from project.networks.mlp import MLP
from project.spec import Batch, DataSpec
from project.tasks.base import NetworkFactory, Task

OF_NUMBERS = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)
OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss, nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)


class Regression(Task):
    """Numbers. The loss sees targets of mean 0 and deviation 1, the metrics and predictions are in the target's units.

    Args:
        net: The network, built when the data is known.
        loss: Compares numbers: MSE, L1, SmoothL1, Huber.
    """

    default_monitor = ("val/rmse", "min")
    target_mean: Tensor
    target_std: Tensor

    def __init__(self, net: NetworkFactory = MLP, loss: nn.Module = nn.MSELoss(), **training: Any) -> None:  # noqa: B008
        super().__init__(net, loss, **training)

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target != "number":
            raise UserError(f"Regression needs numbers, the target is of kind {spec.target!r}: --model Classification")
        if isinstance(self.loss, OF_CLASSES):
            name = type(self.loss).__name__.removesuffix("Loss")
            raise UserError(f"--model.loss {name} compares classes, the target is a number: use MSE or SmoothL1")
        mean, std = torch.tensor(spec.scale, dtype=torch.float32).unbind(1)
        self.register_buffer("target_mean", mean)
        self.register_buffer("target_std", std)
        return spec

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        return {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(), "r2": R2Score()}

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        answers = self(batch.inputs)
        targets = batch.targets.reshape(answers.shape)
        loss = self.loss(answers, (targets - self.target_mean) / self.target_std)
        return loss, answers * self.target_std + self.target_mean, targets

    def readable(self, predictions: Tensor) -> dict[str, list[Any]]:
        assert self.spec is not None
        return {name: column.tolist() for name, column in zip(self.spec.names, predictions.unbind(1), strict=True)}
