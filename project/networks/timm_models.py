"""The image models of timm, a package of a thousand of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError, clip, image_shape, needed, suggest

from .torchvision import TorchVision


class Timm(TorchVision):
    """A model of timm by its name: (B, C, H, W) to (B, outputs).

    The first layer takes the data's channels, the last has the data's outputs; models that are made
    for one size of images are made for the data's.

    Args:
        name: For example resnet18, convnext_atto, mobilenetv3_small_050, vit_tiny_patch16_224.
        weights: Where training starts: null for random weights, DEFAULT for those that timm
            publishes, or the file of a state dict. A last layer for another number of classes
            starts at random.

    Raises:
        UserError: timm is not installed, has no such model, or refuses the size of the images.
    """

    def __init__(self, spec: DataSpec, name: str = "resnet18", weights: str | None = None) -> None:
        Network.__init__(self, spec)
        timm = needed("timm", "Timm")
        if name not in (known := timm.list_models()):
            raise UserError(
                f"`model.net.name` {clip(name)}: timm has no such model; "
                f"{suggest(name, known, 'it has')}"
            )
        self.name, self.weights = name, weights
        channels, height, width = image_shape(spec, name)
        options: dict[str, Any] = {"in_chans": channels, "num_classes": spec.outputs}
        try:
            try:
                self.model = timm.create_model(name, **options, img_size=(height, width))
            except TypeError:  # convolutions take any size
                self.model = timm.create_model(name, **options)
        except (AssertionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"`model.net.name` {name}: not for images of {height}x{width}: {clip(error, 160)}"
            ) from error
        self.first = next(n for n, m in self.model.named_modules() if isinstance(m, nn.Conv2d))

    def published(self) -> dict[str, Tensor]:
        try:
            model = needed("timm", "Timm").create_model(self.name, pretrained=True)
        except Exception as error:  # of the hub, of its cache, of the network
            raise UserError(
                f"`model.net.weights` DEFAULT: {clip(error, 100)}; a file of weights can be named"
            ) from error
        state: dict[str, Tensor] = model.state_dict()
        return state
