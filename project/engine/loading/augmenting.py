"""What an augmentation is, and a batch sent through a list of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..errors import UserError, clip
from ..randomness import reseed


class BatchGenerator(Generator):
    """The chance of one batch of training; it also knows the ids (B,) of its samples, and its epoch
    from 0 on.
    """

    ids: Tensor
    epoch: int


class Augment(nn.Module, ABC):
    """A change of the images; what they show stays the same."""

    @abstractmethod
    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        """Changed images: (B, C, H, W) to (B, C, H, W)."""


class Mixing(nn.Module, ABC):
    """A blend of each image with a partner from the same batch; targets are blended in the same
    shares.
    """

    @abstractmethod
    def forward(
        self, images: Tensor, targets: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Blended images and targets: (B, C, H, W) and (B, K) float32 to the same."""


def augmented(
    images: Tensor, targets: Tensor, steps: Iterable[nn.Module], classes: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """The images and targets of a batch after all steps, in order.

    Targets that are class numbers become (B, classes) float32 probabilities when a step mixes them.
    A step that is none of ours is a transform of single images, as torchvision.transforms.v2 has
    them.
    """
    for step in steps:
        if isinstance(step, Mixing):
            if not targets.is_floating_point():
                targets = F.one_hot(targets, classes).to(torch.float32)
            images, targets = step(images, targets, generator)
        elif isinstance(step, Augment):
            images = step(images, generator)
        else:
            images = one_by_one(step, images, generator)
    return images, targets


def one_by_one(transform: nn.Module, images: Tensor, generator: Generator) -> Tensor:
    """A transform of single images over a batch; it draws from the global generators, which are
    seeded for each image.

    Raises:
        UserError: the transform does not work on one image, or changes its shape.
    """
    name = type(transform).__name__
    shape = "x".join(map(str, images.shape[1:]))
    seeds = torch.randint(2**62, (len(images),), generator=generator).tolist()
    changed = []
    for image, seed in zip(images, seeds, strict=True):
        reseed(seed)
        try:
            result = transform(image if image.dtype == torch.uint8 else image / 255)
        except (ValueError, TypeError, RuntimeError) as error:
            raise UserError(
                f"`data.augment`: {name} does not work on an image of {shape}: {clip(error, 120)}"
            ) from error
        if not isinstance(result, Tensor) or result.shape != image.shape:
            made = (
                "x".join(map(str, result.shape))
                if isinstance(result, Tensor)
                else type(result).__name__
            )
            raise UserError(
                f"`data.augment`: {name} makes {made} of {shape}; an augmentation keeps the shape"
            )
        changed.append(result * 255 if result.is_floating_point() else result)
    return torch.stack(changed)
