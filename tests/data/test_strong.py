"""Strong augmentation of a batch is, image by image, what torchvision's transform of that name does
with the same parameters.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as V

from project.data.strong import KINDS, ColorJitter, Map, RandomErasing, TrivialAugmentWide, erased
from project.engine import UserError, pixels
from project.engine.randomness import generator


def noise(channels: int = 3, size: int = 24, count: int = 31) -> Tensor:
    """Images that are smooth in part, with a dark and a bright one among them."""
    draw = generator("strong", channels, size)
    images = torch.randint(256, (count, channels, size, size), generator=draw, dtype=torch.uint8)
    images[:, :, : size // 2] //= 4
    images[0], images[1] = 0, 255
    images[2] = images[2] // 8 + 100
    return images.contiguous(memory_format=torch.channels_last)


def close(one: Tensor, other: Tensor, share: float = 0.0) -> None:
    """Equal but for rounding, and for a share of pixels that lie between two."""
    assert one.shape == other.shape and one.dtype == other.dtype
    far = (one.int() - other.int()).abs() > 1
    assert float(far.float().mean()) <= share


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_each_change_of_trivial_augment_is_torchvisions(
    kind: str, channels: int, sign: float
) -> None:
    images, ours, theirs = noise(channels), TrivialAugmentWide(), v2.TrivialAugmentWide()
    bins = torch.arange(len(images)) % 31
    numbers = torch.full((len(images),), list(KINDS).index(kind))
    changed = ours.changed(images, numbers, bins, torch.full((len(images),), sign))
    space, is_signed = theirs._AUGMENTATION_SPACE[kind]
    strengths = space(31, *images.shape[2:])
    wanted = []
    for image, place in zip(images, bins.tolist(), strict=True):
        strength = 0.0 if strengths is None else float(strengths[place])
        strength *= sign if is_signed else 1.0
        wanted.append(
            theirs._apply_image_or_video_transform(
                image, kind, strength, InterpolationMode.NEAREST, {}
            )
        )
    close(changed, torch.stack(wanted), 0.002 if isinstance(KINDS[kind][1], Map) else 0.0)


def test_every_kind_and_strength_occurs() -> None:
    images = noise(count=2000, size=4)
    first = TrivialAugmentWide()(images, generator("a"))
    assert torch.equal(first, TrivialAugmentWide()(images, generator("a")))
    assert not torch.equal(first, TrivialAugmentWide()(images, generator("b")))
    assert 0.5 < float((first != images).flatten(1).any(1).float().mean()) < 1


FACTORS = {"brightness": 1.4, "contrast": 0.5, "saturation": 1.8, "hue": -0.21}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_jitter_is_torchvisions_in_each_order(order: tuple[int, ...], channels: int) -> None:
    images = noise(channels)
    factors = {name: torch.full((len(images),), value) for name, value in FACTORS.items()}
    changed = pixels.jittered(images, torch.tensor(order).expand(len(images), 4), factors)
    wanted = images
    for number in order:
        name, value = list(FACTORS.items())[number]
        wanted = getattr(V, f"adjust_{name}")(wanted, value)
    far = (changed.int() - wanted.int()).abs()
    assert int(far.max()) <= 4, "a step of rounding grows in the changes behind it"
    assert float((far > 1).float().mean()) < 0.02


def test_each_image_has_an_order_and_factors_of_its_own() -> None:
    images = noise(count=8)[3:4].expand(64, -1, -1, -1)
    changed = ColorJitter(0.4, 0.4, 0.4, 0.1)(images, generator("j"))
    assert len({image.numpy().tobytes() for image in changed}) == 64
    assert torch.equal(ColorJitter()(images, generator("j")), images)


def test_erasing_blanks_what_torchvision_blanks() -> None:
    images = noise(size=20)
    tall, wide = torch.arange(31) % 19, (torch.arange(31) * 7) % 19
    top, left = torch.rand(2, 31, generator=generator("e"))
    changed = erased(images, tall.float(), wide.float(), top, left, 9.0)
    for image, result, h, w, y, x in zip(images, changed, tall, wide, top, left, strict=True):
        i, j = int(y * (20 - h + 1)), int(x * (20 - w + 1))
        assert torch.equal(result, V.erase(image, i, j, int(h), int(w), torch.tensor(9)))


def test_areas_and_shapes_of_what_is_erased_lie_in_their_ranges() -> None:
    images = torch.full((2000, 1, 32, 32), 200, dtype=torch.uint8)
    changed = RandomErasing(p=0.5, scale=(0.1, 0.2), ratio=(0.5, 2.0))(images, generator("r"))
    blank = (changed == 0)[:, 0]
    area = blank.flatten(1).float().mean(1)
    used = area > 0
    assert 0.45 < float(used.float().mean()) < 0.55
    assert float(area[used].min()) > 0.08 and float(area[used].max()) < 0.22
    ratio = blank[used].any(2).sum(1) / blank[used].any(1).sum(1)
    assert float(ratio.min()) > 0.45 and float(ratio.max()) < 2.2


@pytest.mark.parametrize("step", [TrivialAugmentWide(), ColorJitter(0.3, 0.3, 0.3, 0.2)])
def test_floats_change_as_bytes_do(step: torch.nn.Module) -> None:
    images = noise()
    of_bytes, of_floats = step(images, generator("f")), step(images.float(), generator("f"))
    assert of_floats.dtype == torch.float32
    assert float((of_bytes - of_floats).abs().gt(4).float().mean()) < 0.02


@pytest.mark.parametrize(
    "made",
    [
        lambda: ColorJitter(brightness=-1.0),
        lambda: ColorJitter(hue=0.7),
        lambda: ColorJitter(contrast=(2.0, 1.0)),
        lambda: RandomErasing(scale=(0.5, 0.1)),
        lambda: RandomErasing(value=300),
    ],
)
def test_a_range_that_is_none_is_refused(made: object) -> None:
    with pytest.raises(UserError, match="augment"):
        made()  # type: ignore[operator]
