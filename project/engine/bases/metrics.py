"""Losses and metrics of a stage, kept as tensors and reduced every n steps instead of every
step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

PENDING_BYTES = 64 * 2**20  # predictions wait for a reduction only up to this much memory


class MeanLoss(Metric):
    """The mean over samples of losses that are means over batches, over all processes; a NaN stays
    one.

    torchmetrics' MeanMetric leaves NaNs out or, with nan_strategy="disable", the weights.
    """

    full_state_update = False
    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, losses: Tensor, sizes: Tensor) -> None:
        # Not a dot product: the last bit of one depends on where its vectors lie in memory.
        self.total += (losses * sizes).sum()
        self.samples += sizes.sum()

    def compute(self) -> Tensor:
        return self.total / self.samples


class MetricAccumulator(nn.Module):
    """The mean loss and the metrics of one stage.

    A step only appends what it has; `flush` hands everything that waits to torchmetrics at once,
    which costs the same for fifty batches as for one.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        super().__init__()
        self.loss = MeanLoss()
        self.metrics = nn.ModuleDict(metrics)
        self.pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self.pending_bytes = 0

    def add(self, loss: Tensor, predictions: Tensor, targets: Tensor) -> None:
        """Keep a batch: its mean loss, (B, ...) predictions and targets."""
        self.pending.append((loss.detach(), predictions.detach(), targets))
        self.pending_bytes += predictions.numel() * predictions.element_size()

    @property
    def is_full(self) -> bool:
        return self.pending_bytes > PENDING_BYTES

    def flush(self) -> dict[str, Tensor]:
        """Reduce what waits; returns the loss and the metrics of just that."""
        if not self.pending:
            return {}
        losses, predictions, targets = zip(*self.pending, strict=True)
        self.pending, self.pending_bytes = [], 0
        sizes = torch.tensor([float(len(part)) for part in predictions], device=losses[0].device)
        values = {"loss": self.loss(torch.stack(losses).float(), sizes)}
        answer, truth = torch.cat(predictions).float(), torch.cat(targets)
        return values | {name: metric(answer, truth) for name, metric in self.metrics.items()}

    def compute(self) -> dict[str, Tensor]:
        """The values since the last reset, over all processes, and a reset."""
        self.flush()
        parts: dict[str, Any] = {"loss": self.loss, **self.metrics}
        values = {name: metric.compute() for name, metric in parts.items()}
        for metric in parts.values():
            metric.reset()
        return values
