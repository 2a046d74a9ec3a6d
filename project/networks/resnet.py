"""Residual networks for small images (He, Zhang, Ren, Sun: Deep Residual Learning for Image
Recognition, 2016, section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import DataSpec, Network, image_shape


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them: (B, C, H, W) to (B, width, H / stride, W /
    stride).
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = _normalised(channels, width, 3, stride)
        self.second = _normalised(width, width, 3, 1)
        self.shortcut: nn.Module = nn.Identity()
        if channels != width or stride > 1:
            # Every stride-th pixel, then 1x1: as one strided convolution of fewer than 16 channels
            # in channels-last
            # memory, oneDNN writes past its workspace
            # (github.com/uxlfoundation/oneDNN/issues/6035).
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(1, stride), _normalised(channels, width, 1, 1)
            )

    def forward(self, images: Tensor) -> Tensor:
        changed = self.second(F.relu(self.first(images), inplace=True))
        return F.relu(changed + self.shortcut(images), inplace=True)


class ResNet(Network):
    """A residual network whose first layer keeps the size: (B, C, H, W) to (B, outputs).

    The default is the paper's ResNet-20 with convolutions as shortcuts: 272,474 parameters for
    three channels and ten classes. One stage has `blocks` blocks of two convolutions; each stage
    after the first halves the size.

    Args:
        widths: Channels of each stage.
        blocks: Blocks in each stage; the depth is 2 * blocks * stages + 2.
        dropout: Share of the averaged features dropped in training before the linear layer.
    """

    def __init__(
        self,
        spec: DataSpec,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec)
        colours, _, _ = image_shape(
            spec, f"ResNet of {len(widths)} stages", at_least=2 ** (len(widths) - 1)
        )
        self.stem = _normalised(colours, widths[0], 3, 1)
        stages: list[nn.Module] = []
        channels = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                stages.append(Block(channels, width, 2 if stage and not block else 1))
                channels = width
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels, spec.outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.blocks(F.relu(self.stem(images), inplace=True)))


def _normalised(channels: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution and its batch norm."""
    convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width))
