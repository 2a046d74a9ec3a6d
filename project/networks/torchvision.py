"""The classification models of torchvision, preprocessing to the data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models

from project.engine import DataSpec, Network, UserError, clip, image_shape, suggest

# These two answer with further outputs in training, and warn unless they are told how to begin.
WITH_AUXILIARY = ("googlenet", "inception_v3")


class TorchVision(Network):
    """A classification model of torchvision by its name: (B, C, H, W) to (B, outputs).

    The first layer takes the data's channels, the last has the data's outputs; auxiliary outputs
    are left out.

    Args:
        name: For example resnet18, mobilenet_v3_small, efficientnet_b0, vit_b_16.
        weights: Where training starts: null for random weights, DEFAULT for torchvision's, or the
            file of a state dict. A last layer for another number of classes starts at random.

    Raises:
        UserError: there is no such model, or the images are smaller than it takes.
    """

    def __init__(self, spec: DataSpec, name: str = "resnet18", weights: str | None = None) -> None:
        super().__init__(spec)
        known = models.list_models(module=models)
        if name not in known:
            raise UserError(
                f"`model.net.name` {clip(name)}: torchvision has no such model; "
                f"{suggest(name, known, 'it has')}"
            )
        self.name, self.weights = name, weights
        smallest = min(min(entry.meta["min_size"]) for entry in models.get_model_weights(name))
        channels, _, _ = image_shape(spec, name, at_least=smallest)
        options: dict[str, Any] = (
            {"aux_logits": False, "init_weights": False} if name in WITH_AUXILIARY else {}
        )
        self.model = models.get_model(name, weights=None, num_classes=spec.outputs, **options)
        self.first, layer = next(
            item for item in self.model.named_modules() if isinstance(item[1], nn.Conv2d)
        )
        assert isinstance(layer, nn.Conv2d)
        if layer.in_channels != channels:
            layer.in_channels = channels
            layer.weight = nn.Parameter(_channels(layer.weight.detach(), channels).clone())

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)

    def load_pretrained(self) -> dict[str, list[str]]:
        if self.weights is None:
            return {}
        published = self.weights == "DEFAULT"
        state = self.published() if published else _from_file(Path(self.weights))
        where = f"`model.net.weights` {self.weights}"
        own = self.model.state_dict()
        last = next(reversed(own)).rpartition(".")[0]  # may be for another number of classes
        taken = {}
        for key, value in own.items():
            given = state.get(key)
            if given is None:
                if key.endswith("num_batches_tracked"):  # old files lack this counter
                    continue
                raise UserError(f"{where}: not weights of {self.name}, {key} is missing")
            if key == f"{self.first}.weight" and given.ndim == 4:
                given = _channels(given, value.shape[1])
            if given.shape == value.shape:
                taken[key] = given
            elif key.rpartition(".")[0] != last:
                raise UserError(
                    f"{where}: {key} is {tuple(given.shape)}, here it is {tuple(value.shape)}"
                )
        self.model.load_state_dict(taken, strict=False)
        return {
            f"weights {self.weights}": [
                f"model.{name}" for name, _ in self.model.named_parameters() if name in taken
            ]
        }

    def published(self) -> dict[str, Tensor]:
        """The weights that are published for the model, downloaded once into the cache of its
        package.
        """
        entry = models.get_model_weights(self.name).DEFAULT
        try:
            state = entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except (URLError, OSError, RuntimeError) as error:
            place = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
            raise UserError(
                f"`model.net.weights` DEFAULT: {clip(error, 100)}; put {entry.url} at {place}"
            ) from error
        # The files of DenseNet still have the names of an early version.
        return {
            re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): value
            for key, value in state.items()
        }


def _channels(weight: Tensor, channels: int) -> Tensor:
    """A first layer's weights for other channels: (out, in, H, W) to (out, channels, H, W).

    Grey is the sum over the colours, so a grey picture gives what its copy in colour would give.
    """
    if weight.shape[1] == channels:
        return weight
    return weight.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels


def _from_file(path: Path) -> dict[str, Tensor]:
    """A state dict from a file, which runs no code."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        reason = "no such file" if isinstance(error, FileNotFoundError) else clip(error, 100)
        raise UserError(f"`model.net.weights` {path}: {reason}") from error
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise UserError(
            f"`model.net.weights` {path}: not a state dict; --weights takes the weights of a run"
        )
    return state
