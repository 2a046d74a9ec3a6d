"""Which samples are held out: a function of the seed alone, and evenly of every class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError
from ..randomness import generator
from .arrays import Arrays, ItemDataset


def held_out(whole: Arrays | ItemDataset, shares: dict[str, float], seed: int) -> dict[str, Tensor]:
    """Positions of "train" and of each share.

    Raises:
        UserError: nothing is left to train on.
    """
    positions, fraction = spread(whole, seed)
    parts, low = {}, 0.0
    for name, share in shares.items():
        parts[name] = positions[(fraction >= low) & (fraction < low + share)].sort().values
        low += share
    if low >= 1:
        raise UserError(
            f"the held-out shares add up to {low:g}, nothing is left to train on: lower "
            "`data.validation` or `data.test`"
        )
    parts["train"] = positions[fraction >= low].sort().values
    return parts


def fold_of(whole: Arrays | ItemDataset, fold: int, folds: int, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of one of so many folds, and of the rest. Every sample is in exactly one fold.

    Raises:
        UserError: there are fewer samples than folds.
    """
    if folds > len(whole):
        raise UserError(f"`data.folds` {folds}: there are only {len(whole)} samples")
    positions, fraction = spread(whole, seed)
    inside = (fraction * folds).long() == fold
    return positions[inside].sort().values, positions[~inside].sort().values


def spread(whole: Arrays | ItemDataset, seed: int) -> tuple[Tensor, Tensor]:
    """All positions in a random order, class by class, and how far along its class each stands:
    (N,) and (N,) in 0..1.
    """
    size = len(whole)
    targets = targets_of(whole)
    if targets is None or (
        isinstance(targets, Tensor) and (targets.is_floating_point() or targets.ndim > 1)
    ):
        strata = torch.zeros(size, dtype=torch.int64)
    elif isinstance(targets, Tensor):
        strata = targets[whole.rows]
    else:
        strata = numbered(targets, sorted(set(targets)))[whole.rows]
    shuffled = torch.randperm(size, generator=generator(seed, "held out"))
    by_class = shuffled[torch.argsort(strata[shuffled], stable=True)]
    counts = torch.bincount(strata)
    place = torch.arange(size) - (torch.cumsum(counts, 0) - counts).repeat_interleave(counts)
    return by_class, (place + 0.5) / counts.repeat_interleave(counts)


def targets_of(part: Arrays | ItemDataset) -> Tensor | Sequence[str] | None:
    """All targets of the source, by row; None where a dataset does not tell."""
    if isinstance(part, Arrays):
        return part.targets
    targets = getattr(part.dataset, "targets", None)
    return (
        torch.as_tensor(targets)
        if targets is not None and not isinstance(targets[0], str)
        else targets
    )


def numbered(names: Sequence[str], known: Sequence[str]) -> Tensor:
    """Names as their places among the known ones, -1 for others: (N,) int64."""
    number = {name: i for i, name in enumerate(known)}
    return torch.tensor([number.get(name, -1) for name in names], dtype=torch.int64)
