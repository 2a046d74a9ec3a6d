"""What data, network and task know of each other: one small value, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from .formats import shape

IGNORED = 255  # in a mask, a pixel that has no class: no loss and no metric looks at it

Inputs = (
    Tensor | tuple[Tensor, ...]
)  # one input of the network, or several in the order of DataSpec.inputs


@dataclass(frozen=True)
class DataSpec:
    """A description of the data in plain values: it is JSON, and it fits a weights-only checkpoint.

    inputs: the shape of one sample as the network sees it, one shape for each input; (C, H, W) for
        images.
    outputs: width of the network's answer. The data proposes it, a task may change it before the
        network is built.
    target: the kind of target, a row of targets.py: "class" (an integer), "labels" (a row of zeros
        and ones), "number" (one float or several), "count" (how many, of one thing or several),
        "mask" (an integer for each pixel) or "sequence" (several integers in their order).
    names: the classes, the labels or the target columns, for people.
    columns: of tables, the input columns in order, the categorical ones last; of images with
        numbers, what the numbers are.
    cardinalities: of tables, how many codes each of those last, categorical columns has (0 stands
        for unseen).
    counts: training samples of each class; of masks its pixels, of sequences how often it stands in
        them.
    scale: mean and standard deviation of each target column over the training split.
    """

    inputs: tuple[tuple[int, ...], ...]
    outputs: int
    target: str
    names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    cardinalities: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    scale: tuple[tuple[float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The spec in lists, numbers and texts alone, also where a field held a number of a class
        of its own.
        """
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataSpec:
        """The spec again, also from JSON, where tuples have become lists."""
        return cls(**{key: _tuples(value) for key, value in values.items()})

    def shape(self) -> str:
        """The inputs as a person writes them: `1x28x28`, or `3x64x64 + 5`."""
        return " + ".join(map(shape, self.inputs))


def as_tuple(inputs: Inputs) -> tuple[Tensor, ...]:
    """The inputs as a tuple, also where there is only one."""
    return inputs if isinstance(inputs, tuple) else (inputs,)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


class Batch(NamedTuple):
    """What a loader yields and a task reads.

    inputs: (B, ...) the samples; uint8 images until the data's preparation has turned them to
        floats on the device. Where the network has several inputs, a tuple of them.
    targets: (B,) class numbers (int64), (B, K) labels, numbers or class probabilities (float32),
        (B, K) counts (int64), (B, H, W) masks (uint8, IGNORED where there is no class), or (B, L)
        sequences (int64, filled up with -1).
    ids: (B,) row numbers within the split's source, so that a sample can be named.
    position: (epoch, batch), from which every random choice about this batch is drawn.
    """

    inputs: Inputs
    targets: Tensor
    ids: Tensor
    position: tuple[int, int]
