"""A network that reads an image from left to right."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError, image_shape

HALVED = 2  # blocks that halve the width too; the others halve the height alone


class ColumnReader(Network):
    """Convolution blocks, then an answer for every fourth column of the image: (B, C, H, W) to (B,
    W // 4, outputs).

    The convolutional part of Shi, Bai, Yao: CRNN, 2015; a column sees its neighbours by one
    convolution more instead of by a recurrent layer.

    Args:
        channels: Channels of each block of convolution, batch norm, ReLU and pooling; two or more.
        columns: How many columns the last convolution sees at once, an odd number.
        dropout: Share of channels dropped in training before the last layer.
    """

    def __init__(
        self,
        spec: DataSpec,
        channels: Sequence[int] = (32, 64, 128),
        columns: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec)
        if len(channels) < HALVED:
            raise UserError(
                f"`model.net.channels` {list(channels)}: expected {HALVED} widths or more"
            )
        if columns % 2 == 0:
            raise UserError(
                f"`model.net.columns` {columns}: expected an odd number, so that a convolution "
                "keeps the size"
            )
        width, height, _ = image_shape(
            spec, f"ColumnReader of {len(channels)} blocks", at_least=2 ** len(channels)
        )
        layers: list[nn.Module] = []
        for number, size in enumerate(channels):
            pool = nn.MaxPool2d(2 if number < HALVED else (2, 1))
            layers += [
                nn.Conv2d(width, size, 3, padding=1, bias=False),
                nn.BatchNorm2d(size),
                nn.ReLU(inplace=True),
                pool,
            ]
            width = size
        # What is left of the height becomes one row.
        rest = height >> len(channels)
        layers += [nn.Conv2d(width, width, (rest, columns), padding=(0, columns // 2), bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [nn.Dropout2d(dropout)] if dropout else []
        self.features = nn.Sequential(*layers)
        self.last = nn.Linear(width, spec.outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.features(images).squeeze(2).transpose(1, 2))
