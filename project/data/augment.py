"""Augmentation of whole batches on their device, each image by parameters of its own.

Images are (B, C, H, W) with values 0..255, uint8 or float32. All parameters are drawn from a CPU
generator that the caller makes from the batch's place, so the same place gives the same images on
every device, whatever came before.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jsonargparse.typing import ClosedUnitInterval, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as V

from project.engine import Augment, BatchGenerator, Mixing

Padding = Literal["zeros", "border", "reflection"]

# ---------------------------------------------------------------------- the image alone


class Crop(Augment):
    """A random crop of the image's own size, after pixels were added on all sides: a shift.

    Args:
        padding: Pixels added on each side, which is the largest shift.
        padding_mode: What they are: zeros is black, border goes on with the pixels of the edge,
            reflection mirrors the image.
    """

    def __init__(self, padding: PositiveInt = 4, padding_mode: Padding = "zeros") -> None:
        super().__init__()
        self.padding, self.padding_mode = padding, padding_mode

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        pad, size = self.padding, images.shape[2:]
        corners = torch.randint(2 * pad + 1, (len(images), 2), generator=generator)
        framed = self._framed(images.permute(0, 2, 3, 1))  # channels last, as they lie in memory
        crop = crop_by_slices if images.device.type == "cpu" else crop_by_index
        return crop(framed, corners, size).permute(0, 3, 1, 2)

    def _framed(self, images: Tensor) -> Tensor:
        """Images (B, H, W, C) with pixels added on all sides."""
        pad = self.padding
        if self.padding_mode == "zeros":
            return F.pad(images, (0, 0, pad, pad, pad, pad))
        mode = {"border": "edge", "reflection": "reflect"}[self.padding_mode]
        return V.pad(images.permute(0, 3, 1, 2), [pad], padding_mode=mode).permute(0, 2, 3, 1)


def crop_by_slices(images: Tensor, corners: Tensor, size: torch.Size) -> Tensor:
    """A window of each image, (B, H, W, C) to (B, *size, C): on the CPU, numpy's slices are 2 to 5
    times faster.
    """
    height, width = size
    cropped = torch.empty(len(images), height, width, images.shape[3], dtype=images.dtype)
    source, target = images.numpy(), cropped.numpy()
    for i, (top, left) in enumerate(corners.tolist()):
        target[i] = source[i, top : top + height, left : left + width]
    return cropped


def crop_by_index(images: Tensor, corners: Tensor, size: torch.Size) -> Tensor:
    """A window of each image, (B, H, W, C) to (B, *size, C), without leaving the device."""
    windows = (
        images.unfold(1, size[0], 1).unfold(2, size[1], 1).permute(0, 1, 2, 4, 5, 3)
    )  # a view of every window
    top, left = corners.T.to(images.device)
    return windows[torch.arange(len(images), device=images.device), top, left]


class Flip(Augment):
    """Left and right exchanged.

    Args:
        probability: Share of the images.
        alternate: Each image is exchanged in every other epoch instead, half of them in the first,
            so that two epochs show both views of each (Jordan, 2024, arXiv:2404.00498).
    """

    def __init__(self, probability: ClosedUnitInterval = 0.5, alternate: bool = False) -> None:
        super().__init__()
        self.probability, self.alternate = probability, alternate

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        drawn = torch.rand(len(images), generator=generator) < self.probability
        if self.alternate and isinstance(generator, BatchGenerator):
            mixed = generator.ids.cpu() * 2654435761 >> 16  # no pattern along the rows is left
            drawn = (mixed + generator.epoch) % 2 == 1
        chosen = drawn.nonzero().squeeze(1)
        if images.device.type == "cpu":
            return flip_by_slices(images, chosen)
        chosen, flipped = chosen.to(images.device), images.clone()
        flipped[chosen] = images[chosen].flip(3)
        return flipped


def flip_by_slices(images: Tensor, chosen: Tensor) -> Tensor:
    """Some of the images mirrored: on the CPU, numpy's slices of each channel are 1.5 to
    4 times faster than an index.
    """
    flipped = images.clone()
    source, target = images.numpy(), flipped.numpy()
    for i in chosen.tolist():
        for channel in range(images.shape[1]):
            target[i, channel] = source[i, channel, :, ::-1]
    return flipped


class Affine(Augment):
    """Rotation, shear, scale and shift about the centre, by bilinear interpolation.

    Args:
        degrees: Largest rotation either way.
        translate: Largest shift either way, as a share of height and width.
        scale: Smallest and largest factor.
        shear: Largest angle of the horizontal shear either way, in degrees.
        padding_mode: What stands where nothing was: zeros is black, border goes on with the pixels
            of the edge, reflection mirrors the image.
    """

    def __init__(
        self,
        degrees: NonNegativeFloat = 10.0,
        translate: ClosedUnitInterval = 0.1,
        scale: tuple[PositiveFloat, PositiveFloat] = (0.9, 1.1),
        shear: NonNegativeFloat = 0.0,
        padding_mode: Padding = "zeros",
    ) -> None:
        super().__init__()
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear
        self.padding_mode = padding_mode

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        angle, shift_x, shift_y, factor, slant = torch.rand(5, len(images), generator=generator).to(
            images.device
        )
        height, width = images.shape[2:]
        shift = torch.stack(
            [_within(shift_x, self.translate * width), _within(shift_y, self.translate * height)],
            dim=1,
        )
        low, high = self.scale
        factors, slants = low + (high - low) * factor, _within(slant, self.shear)
        return affine(
            images, _within(angle, self.degrees), shift, factors, slants, self.padding_mode
        )


def affine(
    images: Tensor,
    angle: Tensor,
    shift: Tensor,
    scale: Tensor,
    shear: Tensor,
    padding_mode: str = "zeros",
) -> Tensor:
    """Each image rotated, sheared, scaled and shifted as torchvision's `affine` does it, bilinear.

    Args:
        images: (B, C, H, W) uint8 or float32.
        angle: (B,) degrees, clockwise.
        shift: (B, 2) pixels to the right and down.
        scale: (B,) factors.
        shear: (B,) degrees, along x.
        padding_mode: What stands around the images: zeros, border or reflection.
    """
    height, width = images.shape[2:]
    turn, slant = angle.deg2rad(), shear.deg2rad().tan()
    cos, sin = turn.cos(), turn.sin()
    # From output to input: the inverse of rotation times shear, over the scale.
    inverse = torch.stack([cos - slant * sin, sin + slant * cos, -sin, cos], dim=1).reshape(
        -1, 2, 2
    )
    inverse = inverse / scale.reshape(-1, 1, 1)
    moved = -inverse @ shift.to(inverse.dtype).unsqueeze(2)
    # grid_sample counts in halves of the image, height and width apart.
    halves = torch.tensor([width / 2, height / 2], device=images.device)
    theta = torch.cat(
        [inverse * halves / halves.reshape(2, 1), moved / halves.reshape(2, 1)], dim=2
    )
    x, y = (
        (torch.arange(side, device=images.device) * 2 + 1 - side) / side for side in (width, height)
    )
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    for axis in range(2):  # what depends on the column and on the row, added once for each pixel
        of_column = (theta[:, axis, :1] * x).unsqueeze(1)
        of_row = (theta[:, axis, 1:2] * y + theta[:, axis, 2:]).unsqueeze(2)
        torch.add(of_column, of_row, out=grid[..., axis])
    sampled = F.grid_sample(
        images.to(torch.float32),
        grid,
        mode="bilinear",
        padding_mode=padding_mode,
        align_corners=False,
    )
    return (
        sampled.round_().to(torch.uint8, memory_format=torch.channels_last)
        if images.dtype == torch.uint8
        else sampled
    )


def _within(draws: Tensor, limit: float) -> Tensor:
    """Draws of 0..1 spread over -limit..limit."""
    return (2 * draws - 1) * limit


class Cutout(Augment):
    """A square somewhere filled with the image's mean colour; it may reach over the edge (DeVries,
    Taylor, 2017).

    Args:
        size: Side of the square in pixels.
    """

    def __init__(self, size: PositiveInt = 8) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        sides = torch.full((len(images),), float(self.size))
        inside = boxes(images.shape, sides, sides, generator).to(images.device)
        mean = images.mean((2, 3), dtype=torch.float32, keepdim=True).to(images.dtype)
        return torch.where(inside, mean, images)


# ---------------------------------------------------------------------- pairs of images


class Mixup(Mixing):
    """A weighted mean of two images and of their targets (Zhang, Cisse, Dauphin, Lopez-Paz: mixup,
    2018).

    Args:
        alpha: The weight is drawn from Beta(alpha, alpha): small values leave most images nearly as
            they are.
    """

    def __init__(self, alpha: PositiveFloat = 0.2) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(
        self, images: Tensor, targets: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        partner = torch.randperm(len(images), generator=generator).to(images.device)
        share = beta(self.alpha, len(images), generator).to(images.device)
        floats = images.to(torch.float32)
        mixed = torch.lerp(floats[partner], floats, share.reshape(-1, 1, 1, 1))
        return mixed, torch.lerp(targets[partner], targets, share.unsqueeze(1))


class CutMix(Mixing):
    """A box of another image pasted in; the targets are shared by area (Yun et al.: CutMix, 2019).

    Args:
        alpha: The share of the image that stays is drawn from Beta(alpha, alpha); 1 is uniform.
        probability: Share of the images that get a box.
    """

    def __init__(self, alpha: PositiveFloat = 1.0, probability: ClosedUnitInterval = 0.5) -> None:
        super().__init__()
        self.alpha, self.probability = alpha, probability

    def forward(
        self, images: Tensor, targets: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        size, (height, width) = len(images), images.shape[2:]
        partner = torch.randperm(size, generator=generator).to(images.device)
        chosen = torch.rand(size, generator=generator) < self.probability
        side = (1 - beta(self.alpha, size, generator)).sqrt() * chosen
        inside = boxes(images.shape, side * height, side * width, generator).to(images.device)
        share = 1 - inside.mean((1, 2, 3), dtype=torch.float32)
        return torch.where(inside, images[partner], images), torch.lerp(
            targets[partner], targets, share.unsqueeze(1)
        )


def boxes(shape: torch.Size, heights: Tensor, widths: Tensor, generator: Generator) -> Tensor:
    """Boxes of the given sides in pixels, their centres anywhere in the image: (B, 1, H, W) of
    booleans.
    """
    size, _, height, width = shape
    centre_y, centre_x = torch.rand(2, size, generator=generator)
    rows = _interval(centre_y * height, heights, height)
    columns = _interval(centre_x * width, widths, width)
    return rows.reshape(size, 1, height, 1) & columns.reshape(size, 1, 1, width)


def _interval(centre: Tensor, length: Tensor, size: int) -> Tensor:
    """Which of `size` pixels lie in an interval about each centre: (B, size) of booleans."""
    start = (centre - length / 2).round().unsqueeze(1)
    pixels = torch.arange(size)
    return (pixels >= start) & (pixels < start + length.round().unsqueeze(1))


def beta(alpha: float, size: int, generator: Generator) -> Tensor:
    """Draws from Beta(alpha, alpha) as (size,) float32; numpy has them, so its generator is seeded
    from ours.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, size)).to(torch.float32)
