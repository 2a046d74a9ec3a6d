"""Data made by a formula, for the first lessons: a plane, four points, a parabola."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeFloat, PositiveInt
from torch import Tensor

from project.engine import Arrays, DataModule, generator

OUTLIER = 100.0  # how far off a ruined measurement is


class Plane(DataModule):
    """y = x . weights + bias + noise, with x normally distributed: linear regression.

    Args:
        weights: One for each input.
        bias: The value at the origin.
        noise: Standard deviation of the error.
        outliers: Share of the training samples whose y is 100 too high, as from a broken sensor.
        samples: How many to train on.
        evaluated: How many to validate on, and as many to test on.
    """

    splits = ("train", "val", "test")

    def __init__(
        self,
        weights: Sequence[float] = (2.0, -3.4),
        bias: float = 4.2,
        noise: NonNegativeFloat = 0.01,
        outliers: ClosedUnitInterval = 0.0,
        samples: PositiveInt = 800,
        evaluated: PositiveInt = 200,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.weights, self.bias, self.noise, self.outliers = (
            torch.tensor(weights),
            bias,
            noise,
            outliers,
        )
        self.sizes = {"train": samples, "val": evaluated, "test": evaluated}

    def load(self, split: str) -> Arrays:
        size, draw = self.sizes[split], generator("plane", split)
        inputs = torch.randn(size, len(self.weights), generator=draw)
        values = (
            (inputs * self.weights).sum(1)
            + self.bias
            + torch.randn(size, generator=draw) * self.noise
        )
        if split == "train":
            values[torch.rand(size, generator=draw) < self.outliers] += OUTLIER
        return Arrays(inputs, values)


class FourPoints(DataModule):
    """The numbers 1 to 4, of which the first two are "no" and the others "yes": logistic regression
    by hand.
    """

    splits = ("train", "val", "test")
    names = ("no", "yes")

    def load(self, split: str) -> Arrays:
        return Arrays(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0, 0, 1, 1]))


class Parabola(DataModule):
    """y = x^2 + noise on -1..1, to compare optimizers on.

    Args:
        noise: Standard deviation of the error.
        samples: How many, the held-out ones among them.
    """

    splits = ("train",)

    def __init__(
        self, noise: NonNegativeFloat = 0.1, samples: PositiveInt = 1000, **options: Any
    ) -> None:
        super().__init__(**options)
        self.noise, self.samples = noise, samples

    def load(self, split: str) -> Arrays:
        inputs: Tensor = torch.linspace(-1, 1, self.samples).unsqueeze(1)
        error = (
            torch.randn(self.samples, generator=generator("parabola", self.samples)) * self.noise
        )
        return Arrays(inputs, inputs.squeeze(1).square() + error)
