"""Ranking: which of two comes first.

Pairs are drawn within each batch, so any data with a number will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from project.engine import (
    Batch,
    DataSpec,
    NetworkFactory,
    Task,
    UserError,
    generator,
    loss_spec,
    losses_for,
    run_seed,
    short_name,
)
from project.networks.mlp import MLP


class PairAccuracy(Metric):
    """The share of pairs in their true order, over each sample and its neighbour in a fixed
    shuffle; ties are left out.
    """

    full_state_update = False
    right: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("pairs", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, scores: Tensor, values: Tensor) -> None:
        order = torch.randperm(len(scores), generator=generator("pairs", len(scores))).to(
            scores.device
        )
        scores, values = scores[order].flatten(), values[order].flatten()
        truth = torch.sign(values - values.roll(1))
        self.right += (torch.sign(scores - scores.roll(1)) == truth)[truth != 0].sum()
        self.pairs += (truth != 0).sum()

    def compute(self) -> Tensor:
        return self.right / self.pairs


class Ranking(Task):
    """A score for each sample, in the order of its target; the score itself means nothing.

    Args:
        net: The network, built when the data is known.
        loss: Compares the scores of two: MarginRanking.
    """

    answers_targets = False
    default_monitor = ("val/pairs", "max")
    report = "ranking"

    def __init__(
        self,
        net: NetworkFactory = MLP,
        loss: nn.Module = nn.MarginRankingLoss(),
        **training: Any,
    ) -> None:
        super().__init__(net, loss, **training)

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target not in ("number", "count") or spec.outputs != 1:
            raise UserError(
                f"Ranking needs one number a sample, the target is of kind {spec.target!r} with "
                f"{spec.outputs} columns"
            )
        if "ranks" not in loss_spec(self.loss).kinds:
            raise UserError(
                f"`model.loss` {short_name(self.loss)} does not compare the order of two: use "
                f"{losses_for('ranks')}"
            )
        return spec

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        return {"pairs": PairAccuracy()}

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        scores, values = self(batch.inputs).squeeze(1), batch.targets.reshape(-1)
        partner = torch.randperm(
            len(scores), generator=generator(run_seed(), "pairs", *batch.position)
        ).to(scores.device)
        loss = self.loss(scores, scores[partner], torch.sign(values - values[partner]))
        return loss, scores, values

    def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]:
        return {"score": predictions.tolist()}
