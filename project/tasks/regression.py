"""Regression: one number or several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, R2Score

from project.errors import UserError
from project.networks.mlp import MLP
from project.spec import Batch, DataSpec
from project.tasks.base import TASK_FOR, NetworkFactory, Task
from project.training.losses import losses_for, reading, short_name

SMALLEST_VARIANCE = 1e-6


class Regression(Task):
    """Numbers. The loss sees targets of mean 0 and deviation 1, the metrics and predictions are in the target's units.

    With PoissonNLL the targets are counts, as they are, and the network answers with the logarithm of their rate; with
    GaussianNLL it answers with a mean and a variance for each target.

    Args:
        net: The network, built when the data is known.
        loss: Compares numbers: MSE, L1, SmoothL1, Huber, PoissonNLL, GaussianNLL.
    """

    default_monitor = ("val/rmse", "min")
    target_mean: Tensor
    target_std: Tensor

    def __init__(self, net: NetworkFactory = MLP, loss: nn.Module = nn.MSELoss(), **training: Any) -> None:  # noqa: B008
        super().__init__(net, loss, **training)

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target != "number":
            raise UserError(f"Regression needs numbers, the target is of kind {spec.target!r}: --model {TASK_FOR[spec.target]}")
        kinds = reading(self.loss).kinds
        if not {"number", "count", "spread"} & set(kinds):
            raise UserError(
                f"--model.loss {short_name(self.loss)} compares classes, the target is a number: use {losses_for('number')}"
            )
        mean, std = torch.tensor(spec.scale, dtype=torch.float32).unbind(1)
        self.register_buffer("target_mean", mean)
        self.register_buffer("target_std", std)
        return dataclasses.replace(spec, outputs=2 * spec.outputs) if "spread" in kinds else spec

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        return {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(), "r2": R2Score()}

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        answers = self(batch.inputs)
        targets = batch.targets.reshape(len(answers), -1)
        kind = reading(self.loss).kinds[0]
        if kind == "count":
            return self.loss(answers, targets), answers.exp(), targets
        scaled = (targets - self.target_mean) / self.target_std
        if kind == "spread":
            answers, spread = answers.chunk(2, dim=1)
            loss = self.loss(answers, scaled, F.softplus(spread) + SMALLEST_VARIANCE)
        else:
            loss = self.loss(answers, scaled)
        return loss, answers * self.target_std + self.target_mean, targets

    def errors(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The absolute error in units of the target's deviation, summed over the targets."""
        return ((predictions - targets).abs() / self.target_std.to(predictions.device)).sum(1)

    def readable(self, predictions: Tensor) -> dict[str, list[Any]]:
        assert self.spec is not None
        return {name: column.tolist() for name, column in zip(self.spec.names, predictions.unbind(1), strict=True)}
