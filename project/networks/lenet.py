"""LeNet-5 (LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition,
1998).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from project.engine import DataSpec, Network, image_shape


class LeNet(Network):
    """LeNet-5 with ReLU and max pooling: (B, C, H, W) to (B, outputs); 61,706 parameters for one
    channel, ten classes.

    Images smaller than 32x32 are framed by zeros up to that size, as in the paper.

    Args:
        dropout: Share of the hidden linear units dropped in training.
    """

    def __init__(self, spec: DataSpec, dropout: float = 0.0) -> None:
        super().__init__(spec)
        channels, height, width = image_shape(spec, "LeNet", at_least=8)
        frame = (max(0, 32 - height) // 2, max(0, 32 - width) // 2)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=frame),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.features(torch.zeros(1, channels, height, width)).shape[1]
        self.classifier = nn.Sequential(
            nn.Linear(flat, 120),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(120, 84),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(84, spec.outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
