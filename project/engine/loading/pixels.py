"""Changes of the pixels of whole batches, each image by a parameter of its own, equal to
torchvision's for one image.

Images are (B, C, H, W) with values 0..255 and one or three channels, uint8 or float32; parameters
are (B,). Values are rounded as torchvision rounds those of uint8 images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as V

LUMA = (0.2989, 0.587, 0.114)
FROM_FLOATS = 255.999 / 255  # before the fraction is cut: so torchvision makes bytes of floats


def _like(values: Tensor, images: Tensor) -> Tensor:
    """Values within 0..255 in the type of the images."""
    return values.clamp_(0, 255).to(images.dtype)


def _each(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)


def grey_of(images: Tensor) -> Tensor:
    """The brightness of each pixel in whole numbers: (B, 1, H, W) float32."""
    if images.shape[1] == 1:
        return images.to(torch.float32)
    red, green, blue = images.unbind(1)
    grey = red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
    return grey.unsqueeze(1).floor_()


def _blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    factor = _each(factor)
    return _like(images * factor + others * (1 - factor), images)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is black, 1 as it is."""
    return _like(images * _each(factor), images)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """0 is grey, 1 as it is."""
    return images if images.shape[1] == 1 else _blend(images, grey_of(images), factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """0 is the image's mean brightness everywhere, 1 as it is."""
    return _blend(images, grey_of(images).mean((1, 2, 3), keepdim=True), factor)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Colours turned by a share of the circle, -0.5 to 0.5."""
    if images.shape[1] == 1:
        return images
    red, green, blue = (part.to(torch.float32) for part in images.unbind(1))
    turned = torch.stack(turned_hue(red, green, blue, shift), 1)
    return _like(turned.mul_(FROM_FLOATS) if images.dtype == torch.uint8 else turned, images)


def turned_hue(
    red: Tensor, green: Tensor, blue: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The planes (B, H, W) float32 of 0..255 with their hue turned by (B,) shares of the circle."""
    high = torch.maximum(red, green).clamp_(min=blue)
    spread = high - torch.minimum(red, green).clamp_(max=blue)
    # Which is highest, as numbers 0 and 1: `torch.where` takes thirty times as long on the CPU.
    is_red = (red - high).sign_().add_(1)
    is_green = (green - high).sign_().add_(1).mul_(1 - is_red)
    # The place on a circle of six: red about 0, green about 2, blue about 4.
    place = (red - green).add_(spread, alpha=4).mul_(1 - is_red - is_green)
    place.addcmul_(is_red, green - blue)
    place.addcmul_(is_green, (blue - red).add_(spread, alpha=2))
    place.div_(spread.clamp(min=1e-6))  # grey has no hue: any will do
    place.mul_(1 / 6).add_(shift.reshape(-1, 1, 1) + 2)
    planes = []
    for start in (5 / 6, 3 / 6, 1 / 6):  # each falls and rises along the circle, a third apart
        ramp = (place + start).frac_().sub_(1 / 3).abs_().mul_(-6).add_(2).clamp_(0, 1)
        planes.append(torch.addcmul(high, ramp, spread, value=-1))
    return planes[0], planes[1], planes[2]


BLENDS = ("brightness", "contrast", "saturation")  # with black, the mean brightness, the grey image


def jittered(images: Tensor, order: Tensor, factors: dict[str, Tensor]) -> Tensor:
    """Brightness, contrast, saturation and hue changed, in an order of each image's own.

    All of it in planes of float32, which are rounded after each change as torchvision's uint8 are.

    Args:
        images: (B, C, H, W).
        order: (B, len(factors)): which of `factors` is changed first, second, ...
        factors: Of the changes that are made, (B,) each.
    """
    if not factors:
        return images
    planes = images.permute(1, 0, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    whole, is_grey = images.dtype == torch.uint8, len(planes) == 1
    # (steps, B): which change it is, its factor, and how much of what is blended in.
    steps, names = order.T, list(factors)
    chosen = {name: steps == names.index(name) for name in names}
    factor = torch.stack(list(factors.values())).gather(0, steps)
    blends = [name for name in names if name in BLENDS and not (is_grey and name == "saturation")]
    rest = (1 - factor) * sum(chosen[name] for name in blends)
    none = torch.zeros_like(rest)
    shares = [1 - rest, rest * chosen.get("contrast", none), rest * chosen.get("saturation", none)]
    of_image, of_mean, of_grey = torch.stack(shares)[..., None, None].to(planes.device)
    for step in range(len(steps)):
        if blends:
            grey = planes[0].clone() if is_grey else _brightness_of(planes)
            mean = grey.mean((1, 2), keepdim=True).mul_(of_mean[step])
            others = grey.mul_(of_grey[step]).add_(mean) if "saturation" in blends else mean
            planes.mul_(of_image[step]).add_(others).clamp_(0, 255)
            planes = planes.floor_() if whole else planes
        if "hue" in names and not is_grey:
            some = chosen["hue"][step].nonzero().squeeze(1)
            shift, some = factor[step, some].to(planes.device), some.to(planes.device)
            red, green, blue = planes[:, some]
            for plane, turned in zip(planes, turned_hue(red, green, blue, shift), strict=True):
                plane[some] = turned.mul_(FROM_FLOATS).floor_() if whole else turned
    return planes.permute(1, 0, 2, 3).to(images.dtype, memory_format=torch.channels_last)


def _brightness_of(planes: Tensor) -> Tensor:
    """The brightness of planes (3, B, H, W) in whole numbers: (B, H, W)."""
    red, green, blue = planes
    return red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).floor_()


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is blurred, 1 as it is; the outermost pixels stay."""
    channels, height, width = images.shape[1:]
    if height <= 2 or width <= 2:
        return images
    kernel = torch.full((3, 3), 1 / 13, device=images.device)
    kernel[1, 1] = 5 / 13
    output = images.to(torch.float32, copy=True)
    blurred = F.conv2d(output, kernel.expand(channels, 1, 3, 3), groups=channels)
    if images.dtype == torch.uint8:
        blurred = blurred.round_()
    inner = output[..., 1:-1, 1:-1]
    inner.add_(blurred.sub_(inner).mul_(1 - _each(factor)))
    return _like(output, images)


def posterise(images: Tensor, bits: Tensor) -> Tensor:
    """Only the highest `bits` of each value are kept."""
    whole = images.to(torch.uint8)
    mask = (0xFF << (8 - bits.long())) & 0xFF
    return (whole & _each(mask).to(torch.uint8)).to(images.dtype)


def solarise(images: Tensor, threshold: Tensor) -> Tensor:
    """Values from the threshold on are inverted."""
    return torch.where(images >= _each(threshold), 255 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Each channel stretched over 0..255."""
    return (
        V.autocontrast(images)
        if images.dtype == torch.uint8
        else V.autocontrast(images / 255) * 255
    )


def equalise(images: Tensor) -> Tensor:
    """Each channel's histogram made even."""
    return V.equalize(images.to(torch.uint8)).to(images.dtype)


def moved(images: Tensor, inverse: Tensor) -> Tensor:
    """Each image through an affine map by the nearest pixel, black where nothing was.

    inverse: (B, 2, 3) float64, from a place in the output to the one in the input, in pixels about
        the centre.
    """
    height, width = images.shape[2:]
    sides = torch.tensor([width, height], dtype=torch.float32)
    theta = (inverse.to(torch.float32) / (0.5 * sides).reshape(1, 2, 1)).to(images.device)
    x = torch.linspace((1 - width) * 0.5, (width - 1) * 0.5, width, device=images.device)
    y = torch.linspace((1 - height) * 0.5, (height - 1) * 0.5, height, device=images.device)
    places = []
    for number, side in enumerate((width, height)):  # as grid_sample counts, to the last tie
        by_x, by_y, shift = theta[:, number].reshape(-1, 3, 1, 1).unbind(1)
        along = x * by_x + y.unsqueeze(1) * by_y + shift
        places.append(along.add_(1).mul_(side).sub_(1).div_(2).round_())
    column, row = places
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = (row * width + column).mul_(inside).long().flatten(1).unsqueeze(2)
    channels_last = images.permute(0, 2, 3, 1).reshape(len(images), height * width, -1)
    found = channels_last.gather(1, index.expand(-1, -1, images.shape[1]))
    found = found.mul_(inside.flatten(1).unsqueeze(2))
    return found.reshape(-1, height, width, images.shape[1]).permute(0, 3, 1, 2)
