"""Strong augmentation of whole batches: torchvision's transforms of these names, for each image the
same as there, in one piece of tensor code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from torch import Generator, Tensor

from project.engine import Augment, UserError, pixels

Range = float | tuple[float, float] | None


class ColorJitter(Augment):
    """Brightness, contrast, saturation and hue changed by chance, in an order of chance.

    Args:
        brightness: Largest change of the factor 1 either way, or least and greatest factor.
        contrast: The same.
        saturation: The same.
        hue: Largest turn of the colour circle either way, up to 0.5, or both ends.
    """

    def __init__(
        self,
        brightness: Range = None,
        contrast: Range = None,
        saturation: Range = None,
        hue: Range = None,
    ) -> None:
        super().__init__()
        self.ranges = {
            "brightness": _range("brightness", brightness),
            "contrast": _range("contrast", contrast),
            "saturation": _range("saturation", saturation),
            "hue": _range("hue", hue, 0.0, -0.5, 0.5),
        }

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        size, made = len(images), {k: ends for k, ends in self.ranges.items() if ends is not None}
        order = torch.rand(size, len(made), generator=generator).argsort(1)
        factors = {
            name: low + (high - low) * torch.rand(size, generator=generator)
            for name, (low, high) in made.items()
        }
        return pixels.jittered(images, order, factors)


def _range(
    name: str, value: Range, centre: float = 1.0, least: float = 0.0, most: float = math.inf
) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = value if isinstance(value, tuple) else (max(centre - value, least), centre + value)
    if not least <= low <= high <= most:
        raise UserError(
            f"`data.augment`: ColorJitter's {name} {value}: expected a range, as in 0.4"
        )
    return None if low == high == centre else (float(low), float(high))


class TrivialAugmentWide(Augment):
    """One of fourteen changes of each image, at a strength of chance (Mueller, Hutter:
    TrivialAugment, 2021, the wide space).

    Args:
        num_magnitude_bins: How many strengths there are of each.
    """

    def __init__(self, num_magnitude_bins: PositiveInt = 31) -> None:
        super().__init__()
        self.bins = num_magnitude_bins

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        size = len(images)
        kinds = torch.randint(len(KINDS), (size,), generator=generator)
        bins = torch.randint(self.bins, (size,), generator=generator)
        signs = torch.where(torch.rand(size, generator=generator) <= 0.5, -1.0, 1.0)
        return self.changed(images, kinds, bins, signs)

    def changed(self, images: Tensor, kinds: Tensor, bins: Tensor, signs: Tensor) -> Tensor:
        """Images (B, C, H, W), each after one change: places in KINDS, strengths 0..bins-1 and
        signs, (B,) each.
        """
        height, width = images.shape[2:]
        strengths = torch.stack([torch.linspace(*ends, self.bins) for ends, _ in KINDS.values()])
        order = kinds.argsort(stable=True)  # each kind is a slice then
        strengths, signs = strengths[kinds, bins][order], signs[order]
        taken = images.permute(0, 2, 3, 1).index_select(0, order.to(images.device))
        images = taken.permute(0, 3, 1, 2)
        ends = torch.bincount(kinds, minlength=len(KINDS)).cumsum(0).tolist()
        maps = []
        for (_, change), start, end in zip(KINDS.values(), [0, *ends], ends, strict=False):
            strength, sign, part = strengths[start:end], signs[start:end], images[start:end]
            if isinstance(change, Map):  # these come first, and move at once
                maps.append(change.inverse(strength.double() * sign, height, width))
                continue
            if maps and start:
                images[:start] = pixels.moved(images[:start], torch.cat(maps))
            maps = []
            if end > start:
                part.copy_(change(part, strength.to(images.device), sign.to(images.device)))
        return taken.index_select(0, order.argsort().to(images.device)).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Map:
    """An affine map: from signed strengths (B,) float64, height and width to (B, 2, 3), from a
    place in the output to the one in the input, in pixels about the centre.
    """

    numbers: Callable[[Tensor, int, int], tuple[Tensor | float, ...]]

    def inverse(self, strength: Tensor, height: int, width: int) -> Tensor:
        numbers = self.numbers(strength, height, width)
        columns = [torch.as_tensor(number).double().expand(len(strength)) for number in numbers]
        return torch.stack(columns, 1).reshape(-1, 2, 3)


def _rotation(degrees: Tensor, height: int, width: int) -> tuple[Tensor | float, ...]:
    turn = -degrees * math.pi / 180
    return turn.cos(), turn.sin(), 0, -turn.sin(), turn.cos(), 0


Change = Callable[[Tensor, Tensor, Tensor], Tensor]  # of images by strength and sign, (B,) each
# name -> the least and the greatest strength, and the change
KINDS: dict[str, tuple[tuple[float, float], Map | Change]] = {
    "ShearX": ((0.0, 0.99), Map(lambda s, h, w: (1, s, s * h / 2, 0, 1, 0))),
    "ShearY": ((0.0, 0.99), Map(lambda s, h, w: (1, 0, 0, s, 1, s * w / 2))),
    "TranslateX": ((0.0, 32.0), Map(lambda s, h, w: (1, 0, -s.trunc(), 0, 1, 0))),
    "TranslateY": ((0.0, 32.0), Map(lambda s, h, w: (1, 0, 0, 0, 1, -s.trunc()))),
    "Rotate": ((0.0, 135.0), Map(_rotation)),
    "Brightness": ((0.0, 0.99), lambda x, s, sign: pixels.brightness(x, 1 + s * sign)),
    "Color": ((0.0, 0.99), lambda x, s, sign: pixels.saturation(x, 1 + s * sign)),
    "Contrast": ((0.0, 0.99), lambda x, s, sign: pixels.contrast(x, 1 + s * sign)),
    "Sharpness": ((0.0, 0.99), lambda x, s, sign: pixels.sharpness(x, 1 + s * sign)),
    "Posterize": ((8.0, 2.0), lambda x, s, sign: pixels.posterise(x, s.round())),
    "Solarize": ((1.0, 0.0), lambda x, s, sign: pixels.solarise(x, 255 * s)),
    "AutoContrast": ((0.0, 0.0), lambda x, s, sign: pixels.autocontrast(x)),
    "Equalize": ((0.0, 0.0), lambda x, s, sign: pixels.equalise(x)),
    "Identity": ((0.0, 0.0), lambda x, s, sign: x),
}


class RandomErasing(Augment):
    """A rectangle of chance filled with one value (Zhong et al.: Random Erasing, 2020).

    Args:
        p: Share of the images.
        scale: Smallest and largest area, as a share of the image.
        ratio: Smallest and largest height over width.
        value: What it is filled with, 0 to 255.
    """

    def __init__(
        self,
        p: ClosedUnitInterval = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        super().__init__()
        if not (0 <= scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1] and 0 <= value <= 255):
            raise UserError(
                "`data.augment`: RandomErasing's scale lies between 0 and 1, its ratio above 0, "
                "both from small to large, its value between 0 and 255"
            )
        self.p, self.scale, self.ratio, self.value = p, scale, ratio, value

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        size, (height, width) = len(images), images.shape[2:]
        draws = torch.rand(2, TRIES, size, generator=generator)
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * draws[0])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = (low + (high - low) * draws[1]).exp()
        heights, widths = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (heights < height) & (widths < width)
        first = fits.int().argmax(0, keepdim=True)  # of the tries
        top, left, chosen = torch.rand(3, size, generator=generator)
        used = fits.any(0) & (chosen < self.p)
        tall, wide = (sides.gather(0, first)[0] * used for sides in (heights, widths))
        return erased(images, tall, wide, top, left, self.value)


TRIES = 10  # of sides, until they fit


def erased(
    images: Tensor, tall: Tensor, wide: Tensor, top: Tensor, left: Tensor, value: float
) -> Tensor:
    """Images (B, C, H, W) with a rectangle each: (B,) heights and widths in pixels, and places as
    shares of the room there is.
    """
    height, width = images.shape[2:]
    rows = _span(tall, (top * (height - tall + 1)).floor(), height)
    columns = _span(wide, (left * (width - wide + 1)).floor(), width)
    inside = (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1).to(images.device)
    return images.masked_fill(inside, value)


def _span(length: Tensor, start: Tensor, size: int) -> Tensor:
    """Which of `size` places lie from each start on: (B, size)."""
    places = torch.arange(size)
    return (places >= start.unsqueeze(1)) & (places < (start + length).unsqueeze(1))
