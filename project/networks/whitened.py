"""A small convolutional network that trains fast: its first layer whitens patches of the images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import DataSpec, Network, image_shape

MOMENTUM = 0.4  # of the statistics of Norm
PATCH = 2  # side of the patches that are whitened


class WhitenedCNN(Network):
    """A fixed whitening layer and three blocks of two convolutions: (B, C, H, W) to (B, outputs).

    Source: Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024 (arXiv:2404.00498),
    after Page, How to train your ResNet, 2018.

    Args:
        widths: Channels of the blocks, each of which halves the image.
        scale: The logits are multiplied by it.
    """

    def __init__(
        self, spec: DataSpec, widths: Sequence[int] = (64, 256, 256), scale: float = 1 / 9
    ) -> None:
        super().__init__(spec)
        channels = image_shape(spec, "WhitenedCNN", at_least=PATCH * 2 ** len(widths))[0]
        first = 2 * channels * PATCH**2  # each direction with both signs
        self.register_buffer("whitening", torch.zeros(first, channels, PATCH, PATCH))
        self.whitening_bias = nn.Parameter(torch.zeros(first))
        sides = (first, *widths)
        self.blocks = nn.Sequential(
            *(block(before, after) for before, after in zip(sides, widths, strict=False))
        )
        self.head = nn.Linear(widths[-1], spec.outputs, bias=False)
        self.scale = scale

    whitening: Tensor

    def first_look(self, inputs: Tensor) -> None:
        """Set the whitening from training images (N, C, H, W) as the network gets them."""
        size = inputs.shape[1] * PATCH**2
        patches = F.unfold(inputs, PATCH).transpose(1, 2).reshape(-1, size).double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = vectors.T / (values + 5e-4).sqrt().unsqueeze(1)
        filters = filters.flip(0).reshape(size, -1, PATCH, PATCH)
        self.whitening.copy_(torch.cat([filters, -filters]))

    def forward(self, images: Tensor) -> Tensor:
        found = F.gelu(F.conv2d(images, self.whitening, self.whitening_bias))
        return self.head(self.blocks(found).amax((2, 3))) * self.scale


def block(before: int, after: int) -> nn.Sequential:
    """Convolution, pooling, norm, GELU, convolution, norm, GELU."""
    layers = [_filters(before, after), nn.MaxPool2d(2), Norm(after), nn.GELU()]
    return nn.Sequential(*layers, _filters(after, after), Norm(after), nn.GELU())


def _filters(before: int, after: int) -> nn.Conv2d:
    """A 3x3 convolution whose first filters hand their input on."""
    made = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.dirac_(made.weight.data[:before])
    return made


class Norm(nn.Module):
    """Batch norm that moves by a bias alone, and whose statistics follow quickly."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, momentum=MOMENTUM, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        # In one pass, and in the precision of the inputs: a sum with the bias would be a second one
        # and in 32 bits.
        mean, var = self.norm.running_mean, self.norm.running_var
        return F.batch_norm(
            inputs, mean, var, None, self.bias, self.training, MOMENTUM, self.norm.eps
        )
