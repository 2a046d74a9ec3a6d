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

    Where the samples have times, the latest are tested, those before them validate, and the past
    is trained on; where they have groups, each group is in one part alone.

    Raises:
        UserError: nothing is left to train on, or a part has nothing.
    """
    positions, fraction = spread(whole, seed)
    names = list(shares)
    if whole.times is not None:
        names.sort(key=lambda name: name != "test")
    parts, low = {}, 0.0
    for name in names:
        inside = (fraction >= low) & (fraction < low + shares[name])
        parts[name] = positions[inside].sort().values
        low += shares[name]
        if shares[name] and not len(parts[name]) and whole.groups is not None:
            raise UserError(
                f"a share of {shares[name]:g} is smaller than a group: raise "
                f"`data.{'validation' if name == 'val' else name}`"
            )
    if low >= 1:
        raise UserError(
            f"the held-out shares add up to {low:g}, nothing is left to train on: lower "
            "`data.validation` or `data.test`"
        )
    parts["train"] = positions[fraction >= low].sort().values
    return parts


def fold_of(whole: Arrays | ItemDataset, fold: int, folds: int, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of one of so many folds, and of the rest. Every sample, and every group, is in
    exactly one fold.

    Raises:
        UserError: there are fewer samples or groups than folds, or the samples have times.
    """
    if whole.times is not None:
        raise UserError("`data.folds`: with `data.time` the past trains and the future tests, once")
    there, what = len(whole), "samples"
    if whole.groups is not None:
        there, what = len(whole.groups[whole.rows].unique()), "groups"
    if folds > there:
        raise UserError(f"`data.folds` {folds}: there are only {there} {what}")
    positions, fraction = spread(whole, seed)
    inside = (fraction * folds).long() == fold
    return positions[inside].sort().values, positions[~inside].sort().values


def spread(whole: Arrays | ItemDataset, seed: int) -> tuple[Tensor, Tensor]:
    """All positions, and how far along each stands: (N,) and (N,) in 0..1.

    In a random order class by class; whole groups, by the class that most of each have; by time,
    the latest first.
    """
    if whole.times is not None:
        return _by_time(whole.times[whole.rows])
    strata = _strata(whole)
    if whole.groups is not None:
        return _by_group(whole.groups[whole.rows], strata, seed)
    size = len(whole)
    shuffled = torch.randperm(size, generator=generator(seed, "held out"))
    by_class = shuffled[torch.argsort(strata[shuffled], stable=True)]
    counts = torch.bincount(strata)
    place = torch.arange(size) - (torch.cumsum(counts, 0) - counts).repeat_interleave(counts)
    return by_class, (place + 0.5) / counts.repeat_interleave(counts)


def _strata(whole: Arrays | ItemDataset) -> Tensor:
    """The class of each sample, 0 where there are none: (N,) int64."""
    targets = targets_of(whole)
    if targets is None or (
        isinstance(targets, Tensor) and (targets.is_floating_point() or targets.ndim > 1)
    ):
        return torch.zeros(len(whole), dtype=torch.int64)
    if isinstance(targets, Tensor):
        return targets[whole.rows]
    return numbered(targets, sorted(set(targets)))[whole.rows]


def _by_time(times: Tensor) -> tuple[Tensor, Tensor]:
    """The latest first; samples of one time stand together."""
    _, place, counts = torch.unique(-times, return_inverse=True, return_counts=True)
    middle = (counts.cumsum(0) - counts / 2) / len(times)
    return torch.arange(len(times)), middle[place]


def _by_group(groups: Tensor, strata: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Groups in a random order within those of the same class, each as far along as the samples
    before it and half of its own.
    """
    _, number, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    votes = torch.zeros(len(sizes), int(strata.max()) + 1, dtype=torch.int64)
    votes.index_put_((number, strata), torch.ones_like(number), accumulate=True)
    shuffled = torch.randperm(len(sizes), generator=generator(seed, "held out"))
    order = shuffled[torch.argsort(votes.argmax(1)[shuffled], stable=True)]
    classes, ordered = votes.argmax(1)[order], sizes[order]
    fraction = torch.empty(len(sizes))
    for one in classes.unique():
        inside = classes == one
        own = ordered[inside]
        fraction[order[inside]] = (own.cumsum(0) - own / 2) / own.sum()
    return torch.arange(len(groups)), fraction[number]


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
