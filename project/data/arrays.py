"""Data in memory: a batch is one index_select."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from project.data.order import Place
from project.randomness import reseed
from project.spec import Batch


class Arrays(Dataset[Batch]):
    """A split in memory.

    inputs: (N, C, H, W) uint8 for images, kept with the channels last; (N, ...) for anything else. May be
        memory-mapped: it is only ever read by rows.
    targets: (N,) int64 classes, (N, K) float32, or the N class names themselves, which the DataModule encodes.
    rows: which rows of the arrays belong to this split; all of them by default.
    """

    def __init__(self, inputs: Tensor, targets: Tensor | Sequence[str], rows: Tensor | None = None) -> None:
        self.is_image = inputs.ndim == 4
        self.stored = inputs.permute(0, 2, 3, 1).contiguous() if self.is_image else inputs
        self.targets = targets
        self.rows = torch.arange(len(inputs)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        shape = tuple(self.stored.shape[1:])
        return (shape[2], shape[0], shape[1]) if self.is_image else shape

    def take(self, positions: Tensor) -> Arrays:
        """The samples at these positions, sharing the memory."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__, rows=self.rows[positions])
        return part

    def inputs(self, rows: Tensor) -> Tensor:
        """The samples of these rows as (B, ...); images as (B, C, H, W) in channels-last memory."""
        picked = self.stored.index_select(0, rows)
        return picked.permute(0, 3, 1, 2) if self.is_image else picked

    def __getitem__(self, place: Place) -> Batch:
        rows = self.rows.index_select(0, place.positions)
        assert isinstance(self.targets, Tensor)
        return Batch(self.inputs(rows), self.targets.index_select(0, rows), rows, (place.epoch, place.batch))


class Items(Dataset[Batch]):
    """A map-style dataset of (input, target) pairs, read item by item; what each draws depends on its place alone."""

    def __init__(self, dataset: Any, seed: int, rows: Tensor | None = None) -> None:
        self.dataset, self.seed = dataset, seed
        self.rows = torch.arange(len(dataset)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Tensor) -> Items:
        return Items(self.dataset, self.seed, self.rows[positions])

    def __getitem__(self, place: Place) -> Batch:
        rows = self.rows[place.positions]
        samples = []
        for row in rows.tolist():
            reseed(self.seed, "sample", place.epoch, row)
            samples.append(self.dataset[row])
        inputs, targets = default_collate(samples)
        return Batch(inputs, targets, rows, (place.epoch, place.batch))
