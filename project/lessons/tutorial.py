"""Small networks to learn from: a convolutional one, the same from hand-written layers, and one of
bare matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError, image_shape, suggest
from project.lessons.layers import CrossCorrelation2d, MatrixDict, MatrixList, MeanSubtract, Pool2d


class SmallCNN(Network):
    """Convolutions without padding, each pooled by two, then linear layers: (B, C, H, W) to (B,
    outputs).

    Images of 28x28 reach the linear layers as 12x4x4 = 192 values, and the whole has 32,998
    parameters.

    Args:
        channels: Channels of each convolution.
        kernel: Side of the convolutions.
        hidden: Width of each hidden linear layer.
        pooling: max or average.
        batch_norm: Normalise after each convolution and each hidden linear layer, which then need
            no bias.
    """

    def __init__(
        self,
        spec: DataSpec,
        channels: Sequence[int] = (6, 12),
        kernel: int = 5,
        hidden: Sequence[int] = (120, 60),
        pooling: Literal["max", "average"] = "max",
        batch_norm: bool = False,
    ) -> None:
        super().__init__(spec)
        smallest = 1
        for _ in channels:
            smallest = 2 * smallest + kernel - 1
        width, *sides = image_shape(
            spec, f"{type(self).__name__} of {len(channels)} convolutions", at_least=smallest
        )
        features = self.before()
        for size in channels:
            features.append(self.convolution(width, size, kernel, bias=not batch_norm))
            features += [nn.BatchNorm2d(size)] if batch_norm else []
            features += [nn.ReLU(), self.pool(pooling)]
            width, sides = size, [(side - kernel + 1) // 2 for side in sides]
        self.features = nn.Sequential(*features, nn.Flatten())
        width *= sides[0] * sides[1]
        layers: list[nn.Module] = []
        for size in hidden:
            layers.append(nn.Linear(width, size, bias=not batch_norm))
            layers += [nn.BatchNorm1d(size)] if batch_norm else []
            layers.append(nn.ReLU())
            width = size
        self.classifier = nn.Sequential(*layers, nn.Linear(width, spec.outputs))

    def before(self) -> list[nn.Module]:
        """Layers before the first convolution."""
        return []

    def convolution(self, before: int, after: int, kernel: int, bias: bool) -> nn.Module:
        return nn.Conv2d(before, after, kernel, bias=bias)

    def pool(self, mode: Literal["max", "average"]) -> nn.Module:
        return nn.MaxPool2d(2) if mode == "max" else nn.AvgPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


class HandMade(SmallCNN):
    """SmallCNN from hand-written layers, which first subtract the mean of each image."""

    def before(self) -> list[nn.Module]:
        return [MeanSubtract((1, 2, 3))]

    def convolution(self, before: int, after: int, kernel: int, bias: bool) -> nn.Module:
        return CrossCorrelation2d(before, after, kernel, bias=bias)

    def pool(self, mode: Literal["max", "average"]) -> nn.Module:
        return Pool2d(2, mode=mode)


class Matrices(Network):
    """Bare matrices with ReLU between them, the first chosen by name: any input, flattened, to (B,
    outputs).

    Args:
        choices: Names of the matrices that could be the first.
        choice: The one that is; the others are neither used nor trained.
        hidden: Width after the first matrix and after each that follows, but for the last, which
            makes the outputs.

    Raises:
        UserError: the choice is none of the choices, or there is no hidden width.
    """

    def __init__(
        self,
        spec: DataSpec,
        choices: Sequence[str] = ("linear1", "linear2"),
        choice: str = "linear1",
        hidden: Sequence[int] = (64, 32),
    ) -> None:
        super().__init__(spec)
        if choice not in choices:
            raise UserError(
                f"`model.net.choice`: unknown matrix {choice!r}; "
                f"{suggest(choice, choices, 'choices')}"
            )
        if not hidden:
            raise UserError(
                "`model.net.hidden`: expected at least one width; a linear model is MLP with "
                "`model.net.hidden` []"
            )
        self.choice = choice
        self.first = MatrixDict(
            torch.Size(spec.inputs[0]).numel(), dict.fromkeys(choices, hidden[0])
        )
        self.rest = MatrixList([*hidden, spec.outputs], nn.ReLU())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.rest(self.first(inputs.flatten(1), self.choice).relu())
