"""Embeddings: classes as neighbourhoods.

Pairs and triplets are formed within each batch, so any data with classes will do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jsonargparse.typing import PositiveInt
from torch import Generator, Tensor, nn
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
from project.networks.lenet import LeNet

CHUNK = 1024  # rows of the distance matrix held at a time
MOST = 20_000  # samples among which neighbours are looked for
# samples that each is paired with, so that large batches take no memory of the square of their size
FOLLOWING = 32


class NeighbourAccuracy(Metric):
    """The share of samples whose nearest other sample is of their class."""

    full_state_update = False
    points: list[Tensor]
    classes: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("points", [], dist_reduce_fx="cat")
        self.add_state("classes", [], dist_reduce_fx="cat")

    def update(self, points: Tensor, classes: Tensor) -> None:
        self.points.append(points)
        self.classes.append(classes)

    def compute(self) -> Tensor:
        points, classes = (
            part if isinstance(part, Tensor) else torch.cat(part)
            for part in (self.points, self.classes)
        )
        points, classes = points[:MOST], classes[:MOST]
        right = torch.zeros((), device=points.device)
        for start in range(0, len(points), CHUNK):
            rows = points[start : start + CHUNK]
            distances = torch.cdist(rows, points)
            distances[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = (
                torch.inf
            )  # not itself
            right += (classes[distances.argmin(1)] == classes[start : start + CHUNK]).sum()
        return right / len(points)


class MetricLearning(Task):
    """Points in space: near for samples of one class, far for those of different ones.

    TripletMargin compares each sample with a random one of its class and one of another;
    CosineEmbedding and HingeEmbedding compare all pairs of a batch (of a large one, each sample
    with the 32 that follow it).

    Args:
        net: The network, built when the data is known.
        loss: Compares points: TripletMargin, CosineEmbedding, HingeEmbedding.
        dimension: Of the space.
    """

    answers_targets = False
    default_monitor = ("val/neighbour", "max")
    report = "embedding"

    def __init__(
        self,
        net: NetworkFactory = LeNet,
        loss: nn.Module = nn.TripletMarginLoss(),
        dimension: PositiveInt = 16,
        **training: Any,
    ) -> None:
        super().__init__(net, loss, **training)
        self.dimension = dimension

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target != "class":
            raise UserError(f"MetricLearning needs classes, the target is of kind {spec.target!r}")
        if not {"pairs", "triplets"} & set(loss_spec(self.loss).kinds):
            wanted = f"{losses_for('triplets')}, {losses_for('pairs')}"
            raise UserError(
                f"`model.loss` {short_name(self.loss)} does not compare points in space: use "
                f"{wanted}"
            )
        return dataclasses.replace(spec, outputs=self.dimension)

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        return {"neighbour": NeighbourAccuracy()}

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        points, classes = self(batch.inputs), batch.targets
        if loss_spec(self.loss).kinds[0] == "triplets":
            same, other = partners(classes, generator(run_seed(), "pairs", *batch.position))
            return self.loss(points, points[same], points[other]), points, classes
        first, second = pairs(len(classes), classes.device)
        alike = torch.where(classes[first] == classes[second], 1.0, -1.0)
        if isinstance(self.loss, nn.HingeEmbeddingLoss):
            return (
                self.loss(F.pairwise_distance(points[first], points[second]), alike),
                points,
                classes,
            )
        return self.loss(points[first], points[second], alike), points, classes

    def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]:
        return {f"x{i}": column.tolist() for i, column in enumerate(predictions.unbind(1))}


def pairs(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Each sample of a batch beside those that follow it, around the end: twice (P,) positions."""
    first = torch.arange(size, device=device)
    shifts = torch.arange(1, max(1, min(size // 2, FOLLOWING)) + 1, device=device).unsqueeze(1)
    return first.repeat(len(shifts)), ((first + shifts) % size).flatten()


def partners(classes: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
    """For each sample of a batch a random one of its class and one of another: (B,) to twice (B,)
    positions.

    A sample that has none in the batch is its own partner.
    """
    size = len(classes)
    alike = classes.unsqueeze(1) == classes
    chance = torch.rand(size, size, generator=draw).to(classes.device)
    itself = torch.arange(size, device=classes.device)
    same = chance.masked_fill(~alike, -1.0)
    same[itself, itself] = -0.5  # only where there is no other
    other = chance.masked_fill(alike, -1.0)
    other[itself, itself] = -0.5
    return same.argmax(1), other.argmax(1)
