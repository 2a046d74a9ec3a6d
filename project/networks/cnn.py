"""A plain convolutional network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError, image_shape


class CNN(Network):
    """Blocks of convolution, ReLU and pooling by two, then linear layers: (B, C, H, W) to (B,
    outputs).

    `channels: [32, 64]` is the small network of two convolutions, with `batch_norm: true` its
    normalised form, and `channels: [32, 64, 128, 256]` one of four layers.

    Args:
        channels: Channels of each block; the convolutions keep the size, each block halves it.
        kernel: Side of the convolutions, an odd number.
        batch_norm: Normalise after each convolution and each hidden linear layer.
        global_pool: Average each channel over the image before the linear layers, instead of
            flattening.
        hidden: Width of each hidden linear layer.
        dropout: Share of units dropped in training before each linear layer.
    """

    def __init__(
        self,
        spec: DataSpec,
        channels: Sequence[int] = (32, 64),
        kernel: int = 3,
        batch_norm: bool = False,
        global_pool: bool = False,
        hidden: Sequence[int] = (128,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec)
        if kernel % 2 == 0:
            raise UserError(
                f"`model.net.kernel` {kernel}: expected an odd number, so that a convolution "
                "keeps the size"
            )
        width, height_in, width_in = image_shape(
            spec, f"CNN of {len(channels)} blocks", at_least=2 ** len(channels)
        )
        features: list[nn.Module] = []
        for size in channels:
            features.append(
                nn.Conv2d(width, size, kernel, padding=kernel // 2, bias=not batch_norm)
            )
            features += [nn.BatchNorm2d(size)] if batch_norm else []
            features += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            width = size
        if global_pool:
            features.append(nn.AdaptiveAvgPool2d(1))
        else:
            width *= (height_in >> len(channels)) * (width_in >> len(channels))
        self.features = nn.Sequential(*features, nn.Flatten())
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Dropout(dropout)] if dropout else []
            layers.append(nn.Linear(width, size, bias=not batch_norm))
            layers += [nn.BatchNorm1d(size)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
            width = size
        layers += [nn.Dropout(dropout)] if dropout else []
        self.classifier = nn.Sequential(*layers, nn.Linear(width, spec.outputs))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
