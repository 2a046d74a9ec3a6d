"""A small U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError, image_shape


class UNet(Network):
    """An encoder that halves the image at each level and a decoder back up, joined level by level:
    (B, C, H, W) to (B, outputs, H, W), for any height and width.

    After Ronneberger, Fischer, Brox: U-Net, 2015; here convolutions keep the size, and have batch
    norm.

    Args:
        channels: Channels at each level, from full size down.
    """

    def __init__(self, spec: DataSpec, channels: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__(spec)
        if not channels:
            raise UserError(
                "`model.net.channels` []: expected a width for each level, for example [16, 32, 64]"
            )
        width, _, _ = image_shape(
            spec, f"UNet of {len(channels)} levels", at_least=2 ** (len(channels) - 1)
        )
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for size in channels:
            self.down.append(_two_convolutions(width, size))
            width = size
        for size in reversed(channels[:-1]):
            self.up.append(_two_convolutions(width + size, size))
            width = size
        self.last = nn.Conv2d(width, spec.outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        levels: list[Tensor] = []
        maps = images
        for down in self.down:
            maps = down(F.max_pool2d(maps, 2) if levels else maps)
            levels.append(maps)
        for up, level in zip(self.up, reversed(levels[:-1]), strict=True):
            maps = up(torch.cat([F.interpolate(maps, level.shape[2:]), level], dim=1))
        return self.last(maps)


def _two_convolutions(width: int, size: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into in (width, size):
        layers += [
            nn.Conv2d(into, size, 3, padding=1, bias=False),
            nn.BatchNorm2d(size),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
