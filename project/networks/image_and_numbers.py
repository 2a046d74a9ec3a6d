"""A network with two inputs: an image, and the numbers that stand beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError
from project.networks.cnn import CNN
from project.networks.mlp import MLP


class ImageAndNumbers(Network):
    """A CNN for the image and an MLP for the numbers, whose features are joined: (B, C, H, W) and
    (B, K) to (B, outputs).

    Args:
        channels: Channels of each block of the CNN.
        batch_norm: Normalise in the CNN.
        numbers: Width of each hidden layer of the MLP.
        features: Width of what each of the two makes of its input.
        hidden: Width of each hidden layer above both.
        dropout: Share of the joined units dropped in training.
    """

    def __init__(
        self,
        spec: DataSpec,
        channels: Sequence[int] = (16, 32),
        batch_norm: bool = False,
        numbers: Sequence[int] = (32,),
        features: int = 64,
        hidden: Sequence[int] = (128,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec)
        if [len(shape) for shape in spec.inputs] != [3, 1]:
            raise UserError(
                "ImageAndNumbers needs an image and numbers, as in 1x28x28 + 4; the data gives "
                f"{spec.shape()}"
            )
        image, columns = (
            dataclasses.replace(spec, inputs=(shape,), outputs=features) for shape in spec.inputs
        )
        self.image = CNN(image, channels, batch_norm=batch_norm, hidden=())
        self.numbers = MLP(columns, numbers)
        self.join = nn.Sequential(nn.ReLU(), nn.Dropout(dropout))
        self.head = MLP(dataclasses.replace(spec, inputs=((2 * features,),)), hidden)

    def forward(self, images: Tensor, numbers: Tensor) -> Tensor:
        return self.head(self.join(torch.cat([self.image(images), self.numbers(numbers)], dim=1)))
