"""Image data: sizes and channels, normalisation and augmentation on the device, batched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jsonargparse.typing import PositiveInt
from PIL import Image
from torch import Generator, Tensor, nn

from ..errors import UserError
from ..loading.arrays import Arrays, ItemDataset
from ..loading.augmenting import BatchGenerator, Mixing, augmented
from ..loading.cache import Shape, decode, pixels_of
from ..randomness import key, run_seed
from ..spec import Batch, DataSpec, Inputs, as_tuple
from .data import DataModule

CHUNK = 4096  # images converted at a time, which bounds the memory
COLOURS = {1: ["grey"], 3: ["red", "green", "blue"]}
AS_IT_COMES = [0.0], [1 / 255]  # mean and deviation that leave what a dataset gives as it is
# images from which a dataset's mean and deviation are estimated, where each has to be decoded
SAMPLED = 512


class Normalise(nn.Module):
    """Values as floats with mean 0 and deviation 1 per channel: (B, C, ...) uint8 or floats to
    float32.

    Args:
        mean: Of each channel, in units of `unit`.
        std: Standard deviation of each channel, in the same.
        unit: 255 for images, whose values are 0..255 and whose statistics are given for 0..1.
        dimensions: Of a batch: 4 for images, 2 for numbers.
    """

    shift: Tensor
    factor: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], unit: float = 255.0, dimensions: int = 4
    ) -> None:
        super().__init__()
        shape = (1, -1, *[1] * (dimensions - 2))
        self.register_buffer("shift", torch.tensor(mean).mul(unit).reshape(shape), persistent=False)
        self.register_buffer(
            "factor", torch.tensor(std).mul(unit).reciprocal().reshape(shape), persistent=False
        )

    def forward(self, values: Tensor) -> Tensor:
        floats = values.to(torch.float32) if values.dtype != torch.float32 else values.clone()
        return floats.sub_(self.shift).mul_(self.factor)

    def back(self, values: Tensor) -> Tensor:
        """The values before: what `forward` undone gives."""
        return values / self.factor + self.shift


class ImageData(DataModule):
    """Images as data; a dataset of your own writes `load(split)`, which returns uint8 images as (N,
    C, H, W).

    Where there are numbers beside each image, it returns both: `Arrays((images, numbers), targets)`
    with numbers (N, K) float32, which are standardised column by column as the images are channel
    by channel.

    Args:
        size: Height and width the images are resized to; null keeps them as they are.
        channels: 1 for grey, 3 for colour; null keeps them as they are.
        augment: What is done to the training images, in order: Crop, Flip, Affine, Cutout, Mixup,
            CutMix (batched), or any transform of torchvision.transforms.v2 (image by image).
    """

    def __init__(
        self,
        size: PositiveInt | None = None,
        channels: Literal[1, 3] | None = None,
        augment: list[nn.Module] | nn.Module | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.size, self.channels = size, channels
        self.augment = [augment] if isinstance(augment, nn.Module) else list(augment or ())
        self.normalise: list[Normalise] = []

    learnt = ("spec", "mean", "std", "beside")

    def fit_preprocessing(self, train: Arrays | ItemDataset) -> dict[str, Any]:
        mean, std = statistics(train)
        beside = [column_statistics(train, number) for number in range(1, len(train.shapes))]
        return {**super().fit_preprocessing(train), "mean": mean, "std": std, "beside": beside}

    def statistics(self, preprocessing: dict[str, Any]) -> dict[str, tuple[float, float]]:
        spec = DataSpec.from_dict(preprocessing["spec"])
        colours = COLOURS.get(
            len(preprocessing["mean"]), [f"channel {i}" for i in range(len(preprocessing["mean"]))]
        )
        found = dict(
            zip(colours, zip(preprocessing["mean"], preprocessing["std"], strict=True), strict=True)
        )
        for how in preprocessing["beside"]:
            names = spec.columns or [f"number {i}" for i in range(len(how["mean"]))]
            found |= dict(zip(names, zip(how["mean"], how["std"], strict=True), strict=True))
        return found

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if len(self.spec.inputs) > 1 and any(isinstance(step, Mixing) for step in self.augment):
            raise UserError(
                "`data.augment`: Mixup and CutMix blend images, the numbers beside them cannot "
                "be blended"
            )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        trainer = self.trainer
        if self.augment and trainer is not None and trainer.training:
            images, *beside = as_tuple(batch.inputs)
            draw = BatchGenerator()
            draw.manual_seed(key(run_seed(), "augment", *batch.position, trainer.global_rank))
            draw.ids, draw.epoch = batch.ids, batch.position[0]
            images, targets = self.changed(images, batch.targets, draw)
            batch = batch._replace(inputs=(images, *beside) if beside else images, targets=targets)
        return self.prepared(batch)

    def prepared(self, batch: Batch) -> Batch:
        images, *beside = as_tuple(batch.inputs)
        if not self.normalise:
            self.normalise = [part.to(images.device) for part in self.normalisers()]
        prepared = tuple(
            part(values) for part, values in zip(self.normalise, (images, *beside), strict=True)
        )
        return batch._replace(inputs=prepared if beside else prepared[0])

    def normalisers(self) -> list[Normalise]:
        """What normalises the images, and the numbers beside them."""
        return [
            Normalise(self.preprocessing["mean"], self.preprocessing["std"]),
            *(
                Normalise(how["mean"], how["std"], unit=1.0, dimensions=2)
                for how in self.preprocessing.get("beside", ())
            ),
        ]

    def accept(self, inputs: Any) -> tuple[Inputs, bool]:
        if len(self.spec.inputs) > 1:
            raise UserError("images with numbers beside them are predicted from their files alone")
        channels, height, width = self.spec.inputs[0]
        shape = (height, width, channels)
        if is_single := not isinstance(inputs, (list, tuple)) and getattr(inputs, "ndim", 3) < 4:
            inputs = [inputs]
        return torch.stack([one_image(value, shape) for value in inputs]), is_single

    def pictures(self, inputs: Tensor) -> Tensor | None:
        """Normalised images (B, C, H, W) as they were; those of a dataset with transforms of its
        own from black to white.
        """
        if inputs.shape[1] not in (1, 3):
            return None
        images = self.normalise[0].back(inputs)
        if self.preprocessing["std"] == AS_IT_COMES[1]:
            low, high = images.amin(), images.amax()
            images = (images - low) / (high - low).clamp_min(1e-8) * 255
        return images.round().clamp(0, 255).to(torch.uint8)

    def changed(self, images: Tensor, targets: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
        """A training batch as the augmentations leave it."""
        return augmented(images, targets, self.augment, self.spec.outputs, draw)

    def resize_and_convert(self, images: Tensor) -> Tensor:
        """Images of the asked size and channels: (N, C, H, W) uint8."""
        if self.channels not in (None, images.shape[1]):
            images = grey(images) if self.channels == 1 else images.expand(-1, 3, -1, -1)
        return resize(images, self.size) if self.size else images


def one_image(value: Any, shape: Shape) -> Tensor:
    """An image as a person has it as (C, H, W) uint8 of the shape (H, W, C) that was trained on: a
    path, an image of PIL, an array (H, W) or (H, W, C), or a tensor, channels first or last.

    Raises:
        UserError: it is none of these, or cannot be read.
    """
    if isinstance(value, (str, Path)):
        pixels = decode(Path(value), shape)
    elif isinstance(value, Image.Image):
        pixels = pixels_of(value, shape)
    else:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3, 4):
            array = array.transpose(1, 2, 0)
        if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
            raise UserError(f"an image of shape {array.shape}: expected (H, W) or (H, W, channels)")
        if array.dtype != np.uint8:
            raise UserError(f"an image of {array.dtype}: expected whole numbers 0 to 255, uint8")
        pixels = pixels_of(
            Image.fromarray(array.squeeze(2) if array.shape[2:] == (1,) else array), shape
        )
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def resize(images: Tensor, size: int) -> Tensor:
    """Square uint8 images by bilinear interpolation with antialiasing, as torchvision's Resize does
    it.
    """
    if images.shape[-2:] == (size, size):
        return images
    options: dict[str, Any] = {"mode": "bilinear", "antialias": True, "align_corners": False}
    parts = (F.interpolate(part.float(), (size, size), **options) for part in images.split(CHUNK))
    return torch.cat([part.round_().clamp_(0, 255).to(torch.uint8) for part in parts])


def grey(images: Tensor) -> Tensor:
    """Colour images as grey ones by the luma weights of ITU-R BT.601: (N, 3, H, W) to (N, 1, H,
    W).
    """
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return torch.cat(
        [
            (part * weights).sum(1, keepdim=True).round_().to(torch.uint8)
            for part in images.split(CHUNK)
        ]
    )


def statistics(part: Arrays | ItemDataset) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, of pixels scaled to 0..1, over a split; of
    ItemDataset, over a sample of it.
    """
    if isinstance(part, ItemDataset):
        samples = drawn(part, 0)
        if samples.dtype != torch.uint8:
            return AS_IT_COMES  # a dataset of its own transforms: left as it comes
        part = Arrays(samples, torch.zeros(len(samples)))
    shape = part.shapes[0]
    count, total, squares = 0, torch.zeros(shape[0]).double(), torch.zeros(shape[0]).double()
    values = torch.arange(256).double()
    for rows in part.rows.split(max(1, CHUNK * 1024 // math.prod(shape))):
        pixels = part.input(0, rows)
        count += pixels.numel() // shape[0]
        for channel, plane in enumerate(pixels.unbind(1)):
            if plane.dtype == torch.uint8:  # counted, which is as exact as doubles, and quicker
                times = torch.bincount(plane.reshape(-1), minlength=256).double()
                total[channel] += times @ values
                squares[channel] += times @ values.square()
            else:
                total[channel] += plane.double().sum()
                squares[channel] += plane.double().square().sum()
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(1e-8).sqrt()
    return (mean / 255).tolist(), (std / 255).tolist()


def column_statistics(part: Arrays | ItemDataset, number: int) -> dict[str, list[float]]:
    """Mean and deviation of each column of the numbers beside images; a column that is always the
    same has deviation 1.
    """
    values = part.input(number, part.rows) if isinstance(part, Arrays) else drawn(part, number)
    std, mean = torch.std_mean(values.double(), 0, correction=0)
    return {"mean": mean.tolist(), "std": torch.where(std > 1e-12 * mean.abs(), std, 1.0).tolist()}


def drawn(part: ItemDataset, number: int) -> Tensor:
    """One input of a sample of the split, from which statistics are estimated where each image has
    to be decoded.
    """
    rows = part.rows[torch.linspace(0, len(part) - 1, min(len(part), SAMPLED)).long()]
    return torch.stack([as_tuple(part.dataset[row][0])[number] for row in rows.tolist()])
