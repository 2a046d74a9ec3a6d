"""The order of an epoch as a function of (seed, epoch), from which a run can begin at any batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from ..randomness import generator


class BatchIndex(NamedTuple):
    """Where a batch stands, and the positions of its samples in the split."""

    epoch: int
    batch: int
    positions: Tensor


class ResumableSampler(SequentialSampler):
    """Yields the places of one epoch.

    Across ranks, training (`even`) repeats a few samples so that every rank has as many; evaluation
    deals each sample out exactly once. `weights` draws the samples of an epoch with replacement
    instead of shuffling them.

    It derives from SequentialSampler because the order is settled here: Lightning then leaves it
    alone, also under `overfit_batches`.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = False,
        drop_last: bool = False,
        even: bool = False,
        weights: Tensor | None = None,
        rank: int = 0,
        world_size: int = 1,
        start: tuple[int, int] = (0, 0),
    ) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.shuffle, self.drop_last, self.even, self.weights = shuffle, drop_last, even, weights
        self.rank, self.world_size = rank, world_size
        self.epoch, self.first_batch = start

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def samples(self, epoch: int) -> Tensor:
        """The positions this rank visits in an epoch, in order."""
        if self.weights is not None:
            draw = generator(self.seed, "order", epoch)
            order = torch.multinomial(self.weights, self.size, replacement=True, generator=draw)
        elif self.shuffle:
            order = torch.randperm(self.size, generator=generator(self.seed, "order", epoch))
        else:
            order = torch.arange(self.size)
        if self.even and self.size % self.world_size:
            order = torch.cat([order, order[: self.world_size - self.size % self.world_size]])
        return order[self.rank :: self.world_size]

    def __len__(self) -> int:
        share = math.ceil((self.size - (0 if self.even else self.rank)) / self.world_size)
        return share // self.batch_size if self.drop_last else math.ceil(share / self.batch_size)

    def __iter__(self) -> Iterator[BatchIndex]:
        epoch, start = self.epoch, self.first_batch
        self.first_batch = 0  # only the epoch that is resumed begins in its middle
        order = self.samples(epoch)
        for batch in range(start, len(self)):
            yield BatchIndex(
                epoch, batch, order[batch * self.batch_size : (batch + 1) * self.batch_size]
            )
