"""Regression: one number or several, or counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, R2Score, TweedieDevianceScore
from torchmetrics.wrappers import LambdaInputTransformer

from project.engine import (
    Batch,
    DataSpec,
    NetworkFactory,
    Task,
    UserError,
    loss_spec,
    losses_for,
    short_name,
    suited_task,
)
from project.networks.mlp import MLP

ROUNDING = 1e-3  # of the spread, which 32 bits may lose of the mean
SMALLEST_VARIANCE, SMALLEST_RATE = 1e-6, 1e-6
WITHIN = 1.96  # deviations, between which 95 % of a normal distribution lie


class Coverage(Metric):
    """The share of targets within 1.96 predicted deviations of the predicted mean: 0.95 where the
    variance is right.
    """

    full_state_update = False
    inside: Tensor
    targets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("inside", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("targets", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """(B, 2 K) means and then deviations, and (B, K) targets."""
        mean, deviation = predictions.chunk(2, dim=1)
        self.inside += ((targets - mean).abs() <= WITHIN * deviation).sum()
        self.targets += targets.numel()

    def compute(self) -> Tensor:
        return self.inside / self.targets


def means(predictions: Tensor) -> Tensor:
    """Of (B, 2 K) means and deviations the (B, K) means."""
    return predictions.chunk(2, dim=1)[0]


class Regression(Task):
    """Numbers. The loss sees targets of mean 0 and deviation 1, the metrics and predictions are in
    the target's units.

    GaussianNLL has the network answer with a mean and a variance for each target; predictions are
    then (B, 2 K), the means and after them the standard deviations. PoissonNLL compares counts as
    they are: the network answers with the logarithm of their rate (with `log_input: false`, a rate
    by softplus), counted from the mean of the training split.

    Args:
        net: The network, built when the data is known.
        loss: Compares numbers: MSE, L1, SmoothL1, Huber, GaussianNLL; or counts: PoissonNLL.
    """

    default_monitor = ("val/rmse", "min")
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self, net: NetworkFactory = MLP, loss: nn.Module = nn.MSELoss(), **training: Any
    ) -> None:
        super().__init__(net, loss, **training)
        self.wanted_target = "count" if loss_spec(self.loss).kinds[0] == "count" else "number"

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target not in ("number", "count"):
            raise UserError(
                f"Regression needs numbers, the target is of kind {spec.target!r}: `model` "
                f"{suited_task(spec)}"
            )
        kinds, name = loss_spec(self.loss).kinds, short_name(self.loss)
        if not {"number", "count", "spread"} & set(kinds):
            raise UserError(
                f"`model.loss` {name} compares classes, the target is a number: use "
                f"{losses_for('number')}"
            )
        if kinds[0] == "count" and spec.target != "count":
            raise UserError(
                f"`model.loss` {name} is for counts, the target {', '.join(spec.names)} is a "
                f"number: use {losses_for('number')}; "
                "a column of counts is one with `data.target_type` count"
            )
        mean, std = torch.tensor(spec.scale, dtype=torch.float64).unbind(1)
        if ((mean.float() - mean).abs() <= ROUNDING * std).all() and (std.float() > 0).all():
            mean, std = mean.float(), std.float()  # else 64 bits, until targets are scaled
        self.register_buffer("target_mean", mean)
        self.register_buffer("target_std", std)
        return dataclasses.replace(spec, outputs=2 * spec.outputs) if kinds[0] == "spread" else spec

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        usual: dict[str, Metric] = {
            "rmse": MeanSquaredError(squared=False),
            "mae": MeanAbsoluteError(),
            # It sums squares: of 20,000 +- 1 float32 would lose the differences.
            "r2": LambdaInputTransformer(R2Score(), self.standardised, self.standardised),
        }
        kind = loss_spec(self.loss).kinds[0]
        if kind == "spread":
            return {
                name: LambdaInputTransformer(metric, means) for name, metric in usual.items()
            } | {"coverage": Coverage()}
        return usual | {"deviance": TweedieDevianceScore(power=1)} if kind == "count" else usual

    def standardised(self, values: Tensor) -> Tensor:
        return (values - self.target_mean) / self.target_std

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self(batch.inputs)
        targets = batch.targets.reshape(len(outputs), -1)
        if not targets.is_floating_point():
            targets = targets.to(torch.float32)
        kind = loss_spec(self.loss).kinds[0]
        predictions = self.in_units(outputs)
        if kind == "count":
            logarithms = getattr(self.loss, "log_input", True)
            answer = self._logarithms(outputs) if logarithms else predictions
            return self.loss(answer, targets), predictions, targets
        scaled = self.standardised(targets).to(outputs.dtype)
        if kind == "spread":
            means, variances = _with_variance(outputs)
            return self.loss(means, scaled, variances), predictions, targets
        return self.loss(outputs, scaled), predictions, targets

    def in_units(self, outputs: Tensor) -> Tensor:
        kind = loss_spec(self.loss).kinds[0]
        if kind == "spread":
            means, variances = _with_variance(outputs)
            means = means * self.target_std + self.target_mean
            return torch.cat([means, variances.sqrt() * self.target_std], dim=1)
        if kind != "count":
            return outputs * self.target_std + self.target_mean
        if getattr(self.loss, "log_input", True):
            return self._logarithms(outputs).exp().clamp_min(SMALLEST_RATE)
        usual = self.target_mean.clamp_min(SMALLEST_RATE)
        return F.softplus(outputs) * usual + SMALLEST_RATE

    def _logarithms(self, outputs: Tensor) -> Tensor:
        """The logarithms of the rates: the network counts from the usual one."""
        return outputs + self.target_mean.clamp_min(SMALLEST_RATE).log()

    def per_sample_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The absolute error in units of the target's deviation, summed over the targets."""
        return (
            (predictions[:, : targets.shape[1]] - targets).abs()
            / self.target_std.to(predictions.device)
        ).sum(1)

    def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]:
        assert self.spec is not None
        names = self.spec.names
        if predictions.shape[1] == 2 * len(names):
            names = (*names, *(f"{name} deviation" for name in names))
        return {
            name: column.tolist() for name, column in zip(names, predictions.unbind(1), strict=True)
        }


def _with_variance(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (B, 2 K) as means and variances, (B, K) both."""
    means, spread = outputs.chunk(2, dim=1)
    return means, F.softplus(spread) + SMALLEST_VARIANCE
