"""Data in memory: a batch is one index_select."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ..randomness import reseed, unchanged
from ..spec import Batch, Inputs, as_tuple
from .sampler import BatchIndex

HASHED = 64 * 2**20  # bytes of a split's inputs that its digest looks at
CHUNK = 4096  # rows hashed at a time


class Arrays(Dataset[Batch]):
    """A split in memory.

    inputs: (N, C, H, W) uint8 for images, kept with the channels last; (N, ...) for anything else;
        a tuple of several where the network has several inputs. May be memory-mapped: it is only
        ever read by rows.
    targets: (N,) int64 classes, (N, K) float32 numbers or labels, (N, K) int64 counts, or the N
        class names themselves, which the DataModule encodes.
    rows: which rows of the arrays belong to this split; all of them by default.
    groups: (N,) int64 which samples must not be parted, such as those of one person; times: (N,)
        float64 when each was. By them held-out shares are made, where `load` sets them.
    """

    groups: Tensor | None = None
    times: Tensor | None = None

    def __init__(
        self, inputs: Inputs, targets: Tensor | Sequence[str], rows: Tensor | None = None
    ) -> None:
        self.stored = tuple(_channels_last(part) for part in as_tuple(inputs))
        self.targets = targets
        self.rows = torch.arange(len(self.stored[0])) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each input of one sample."""
        return tuple(tuple(_channels_first(part[:1]).shape[1:]) for part in self.stored)

    def take(self, positions: Tensor) -> Arrays:
        """The samples at these positions, sharing the memory."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__, rows=self.rows[positions])
        return part

    def inputs(self, rows: Tensor) -> Inputs:
        """The samples of these rows as (B, ...), a tuple of several inputs; images as (B, C, H, W)
        in channels-last memory.
        """
        if len(self.stored) == 1:
            return self.input(0, rows)
        return tuple(self.input(number, rows) for number in range(len(self.stored)))

    def input(self, number: int, rows: Tensor) -> Tensor:
        """One of the inputs of these rows: (B, ...)."""
        return _channels_first(self.stored[number].index_select(0, rows))

    def digest(self) -> str:
        """A SHA-256 of the samples in their order and their targets; of more than HASHED bytes, of
        rows evenly spaced.
        """
        assert isinstance(self.targets, Tensor)
        row_bytes = sum(part[:1].nbytes for part in self.stored)
        step = max(1, -(-len(self.rows) * row_bytes // HASHED))
        found = hashlib.sha256(f"{len(self)} {self.shapes}".encode())
        for rows in self.rows[::step].split(CHUNK):
            for part in self.stored:
                found.update(part.index_select(0, rows).numpy().data)
        found.update(self.targets.index_select(0, self.rows).numpy().data)
        return found.hexdigest()

    def fetch(self, rows: Tensor) -> tuple[Inputs, Tensor]:
        """Inputs and targets of these rows, as they are held."""
        assert isinstance(self.targets, Tensor)
        return self.inputs(rows), self.targets.index_select(0, rows)

    def __getitem__(self, index: BatchIndex) -> Batch:
        rows = self.rows.index_select(0, index.positions)
        return Batch(*self.fetch(rows), rows, (index.epoch, index.batch))


def _channels_last(part: Tensor) -> Tensor:
    return part.permute(0, 2, 3, 1).contiguous() if part.ndim == 4 else part


def _channels_first(part: Tensor) -> Tensor:
    return part.permute(0, 3, 1, 2) if part.ndim == 4 else part


class ItemDataset(Dataset[Batch]):
    """A map-style dataset of (input, target) pairs, read item by item; what each draws depends on
    its place alone.

    An input may be a tuple of several.
    """

    groups: Tensor | None = None
    times: Tensor | None = None

    def __init__(self, dataset: Any, seed: int, rows: Tensor | None = None) -> None:
        self.dataset, self.seed = dataset, seed
        self.groups = getattr(dataset, "groups", None)
        self.times = getattr(dataset, "times", None)
        self.rows = torch.arange(len(dataset)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each input of one sample."""
        return tuple(tuple(part.shape) for part in as_tuple(self.dataset[int(self.rows[0])][0]))

    def take(self, positions: Tensor) -> ItemDataset:
        return ItemDataset(self.dataset, self.seed, self.rows[positions])

    def digest(self) -> None:
        """None: reading every item would cost an epoch."""

    def fetch(self, rows: Tensor, epoch: int = 0) -> tuple[Inputs, Tensor]:
        """Inputs and targets of these rows, as the dataset gives them in an epoch."""
        with unchanged():
            return self._read(rows, epoch)

    def _read(self, rows: Tensor, epoch: int) -> tuple[Inputs, Tensor]:
        items = []
        for row in rows.tolist():
            reseed(self.seed, "sample", epoch, row)
            items.append(self.dataset[row])
        inputs, targets = default_collate(
            items
        )  # which makes a list of the inputs where there are several
        return tuple(inputs) if isinstance(inputs, list) else inputs, targets

    def __getitem__(self, index: BatchIndex) -> Batch:
        rows = self.rows[index.positions]
        return Batch(*self._read(rows, index.epoch), rows, (index.epoch, index.batch))


def copies(parts: Mapping[str, Arrays | ItemDataset]) -> dict[str, int]:
    """Of each split but "train", how many samples are exactly one of that: images by their pixels,
    rows by their values; nothing of data that are not in memory.
    """
    if not all(isinstance(part, Arrays) for part in parts.values()):
        return {}
    known = set(_contents(parts["train"]))
    found = {
        split: sum(one in known for one in _contents(part))
        for split, part in parts.items()
        if split != "train"
    }
    return {split: count for split, count in found.items() if count}


def _contents(part: Arrays | ItemDataset) -> Iterator[bytes]:
    """A digest of the inputs of each sample."""
    for rows in part.rows.split(1024):
        inputs = [values.contiguous().numpy() for values in as_tuple(part.fetch(rows)[0])]
        for row in zip(*inputs, strict=True):
            digest = hashlib.blake2b(digest_size=12)
            for values in row:
                digest.update(values.tobytes())
            yield digest.digest()
