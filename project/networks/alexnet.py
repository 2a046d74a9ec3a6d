"""AlexNet (Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural
Networks, 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from project.engine import DataSpec, Network, image_shape

LARGE_FROM = 96  # below, the first convolution with stride 4 leaves too little to pool


class AlexNet(Network):
    """Five convolutions and three linear layers on one device: (B, C, H, W) to (B, outputs).

    The large form begins with 11x11 at stride 4 and pools 3x3 at stride 2: images of 224x224 reach
    the linear layers as 256x5x5 = 6,400 values. The small form begins with 5x5 at stride 1 and
    pools 2x2, so 32x32 become 256x4x4.

    Args:
        form: "large" or "small"; null chooses by the size of the images, large from 96x96.
        channels: Channels of the five convolutions.
        hidden: Widths of the hidden linear layers.
        dropout: Share of the units dropped in training before each hidden linear layer.
    """

    def __init__(
        self,
        spec: DataSpec,
        form: Literal["large", "small"] | None = None,
        channels: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256),
        hidden: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
    ) -> None:
        super().__init__(spec)
        colours, height, width = image_shape(spec, "AlexNet", at_least=67 if form == "large" else 8)
        large = form == "large" or (form is None and min(height, width) >= LARGE_FROM)
        first = (
            nn.Conv2d(colours, channels[0], 11, stride=4, padding=1)
            if large
            else nn.Conv2d(colours, channels[0], 5, padding=2)
        )
        self.features = nn.Sequential(
            first,
            nn.ReLU(inplace=True),
            _pool(large),
            nn.Conv2d(channels[0], channels[1], 5, padding=2),
            nn.ReLU(inplace=True),
            _pool(large),
            nn.Conv2d(channels[1], channels[2], 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels[2], channels[3], 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels[3], channels[4], 3, padding=1),
            nn.ReLU(inplace=True),
            _pool(large),
            nn.Flatten(),
        )
        flat = channels[4] * _side(height, large) * _side(width, large)
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Dropout(dropout), nn.Linear(flat, size), nn.ReLU(inplace=True)]
            flat = size
        self.classifier = nn.Sequential(*layers, nn.Linear(flat, spec.outputs))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


def _pool(large: bool) -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2) if large else nn.MaxPool2d(2)


def _side(size: int, large: bool) -> int:
    """Height or width that is left after the first convolution and three poolings."""
    if not large:
        return size // 8
    size = (size + 2 - 11) // 4 + 1
    for _ in range(3):
        size = (size - 3) // 2 + 1
    return size
