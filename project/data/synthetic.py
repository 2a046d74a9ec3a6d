"""Data made by a formula, for the first lessons: a plane, four points, a parabola."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jsonargparse.typing import NonNegativeFloat, PositiveInt
from torch import Tensor

from project.data.arrays import Arrays
from project.data.base import DataModule
from project.randomness import generator


class Plane(DataModule):
    """y = x . weights + bias + noise, with x normally distributed: linear regression.

    Args:
        weights: One for each input.
        bias: The value at the origin.
        noise: Standard deviation of the error.
        samples: How many, the held-out ones among them.
    """

    splits = ("train",)

    def __init__(
        self,
        weights: Sequence[float] = (2.0, -3.4),
        bias: float = 4.2,
        noise: NonNegativeFloat = 0.01,
        samples: PositiveInt = 1000,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.weights, self.bias, self.noise, self.samples = torch.tensor(weights), bias, noise, samples

    def load(self, split: str) -> Arrays:
        draw = generator("plane", self.samples)
        inputs = torch.randn(self.samples, len(self.weights), generator=draw)
        error = torch.randn(self.samples, generator=draw) * self.noise
        return Arrays(inputs, (inputs * self.weights).sum(1) + self.bias + error)


class FourPoints(DataModule):
    """The numbers 1 to 4, of which the first two are "no" and the others "yes": logistic regression by hand."""

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

    def __init__(self, noise: NonNegativeFloat = 0.1, samples: PositiveInt = 1000, **options: Any) -> None:
        super().__init__(**options)
        self.noise, self.samples = noise, samples

    def load(self, split: str) -> Arrays:
        inputs: Tensor = torch.linspace(-1, 1, self.samples).unsqueeze(1)
        error = torch.randn(self.samples, generator=generator("parabola", self.samples)) * self.noise
        return Arrays(inputs, inputs.squeeze(1).square() + error)
