"""Randomness as a function of its place: the same (seed, purpose, position) always draws the same
numbers.

No generator is ever saved. The order of an epoch is a function of (seed, epoch), an augmentation of
(seed, epoch, batch or sample), a training step of (seed, epoch, batch, rank), so a run can begin at
any step without a replay.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator

import numpy as np
import torch


def key(*place: object) -> int:
    """A 63-bit seed for a place, e.g. `key(seed, "order", epoch)`."""
    return (
        int.from_bytes(hashlib.blake2b(repr(place).encode(), digest_size=8).digest(), "little") >> 1
    )


def generator(*place: object) -> torch.Generator:
    """A fresh CPU generator for a place."""
    return torch.Generator().manual_seed(key(*place))


def reseed(*place: object) -> None:
    """Seed the global generators of torch, numpy and Python for a place."""
    seed = key(*place)
    torch.default_generator.manual_seed(
        seed
    )  # torch.manual_seed walks every backend: 100 times dearer
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)


@contextlib.contextmanager
def seeded(*place: object) -> Iterator[None]:
    """The global generators seeded for a place, and as they were afterwards."""
    with unchanged():
        reseed(*place)
        yield


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """The global generators of the CPU are afterwards as they were, whatever is drawn."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])


def run_seed() -> int:
    """The run's seed, where `seed_everything` leaves it for every process; 0 when nobody has
    seeded.
    """
    return int(os.environ.get("PL_GLOBAL_SEED", 0))
