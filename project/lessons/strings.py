"""Strings of handwritten digits in one image."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Generator, Tensor

from project.data.digits import Digits
from project.data.vision import MNIST
from project.engine import Arrays, DataSpec, ImageData, Mixing, UserError, generator

NOTHING = -1  # fills the strings up to the longest
DIGITS = tuple("0123456789")


class DigitStrings(ImageData):
    """Strings of digits side by side with gaps between them, in images of one size: (1, 2 size,
    longest (size + gap)).

    A string is a function of (split_seed, split, number); the digits of each split come from that
    split of the source.

    Args:
        source: Whose digits: those shipped with the package, or MNIST.
        size: Height and width of a digit.
        strings: Strings to train on.
        evaluated: Strings to validate on, and as many to test on.
        shortest: Digits in the shortest string.
        longest: Digits in the longest string.
        gap: The widest gap between two digits, in pixels.
        target: What is asked: the digits in their order (sequence), which occur (labels), or how
            many there are (count).
    """

    splits = ("train", "val", "test")

    def __init__(
        self,
        source: Literal["Digits", "MNIST"] = "Digits",
        size: PositiveInt = 16,
        strings: PositiveInt = 8000,
        evaluated: PositiveInt = 1000,
        shortest: PositiveInt = 3,
        longest: PositiveInt = 6,
        gap: NonNegativeInt = 4,
        target: Literal["sequence", "labels", "count"] = "sequence",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if shortest > longest:
            raise UserError(f"`data.shortest` {shortest} is more than `data.longest` {longest}")
        shares = {"validation": self.shares["val"], "test": self.shares["test"]}
        kind = Digits if source == "Digits" else MNIST
        self.digits: ImageData = kind(
            root=self.root, size=size, split_seed=self.split_seed, **shares
        )
        # Nothing is learnt of them, so that a test reads the test split alone.
        self.digits.preprocessing = {
            "spec": DataSpec(((1, size, size),), len(DIGITS), "class", DIGITS).to_dict()
        }
        self.sizes = {"train": strings, "val": evaluated, "test": evaluated}
        self.side, self.shortest, self.longest, self.gap = size, shortest, longest, gap
        self.target_kind = target
        self.names = ("digits",) if target == "count" else DIGITS

    def setup(self, stage: str) -> None:
        if any(isinstance(step, Mixing) for step in self.augment):
            raise UserError(
                "`data.augment`: Mixup and CutMix blend classes, strings cannot be blended"
            )
        super().setup(stage)

    def prepare_data(self) -> None:
        self.digits.prepare_data()

    def load(self, split: str) -> Arrays:
        digits = self.digits.part(split)
        assert isinstance(digits, Arrays) and isinstance(digits.targets, Tensor)
        images, classes = digits.input(0, digits.rows)[:, 0], digits.targets[digits.rows]
        pages = torch.zeros(
            self.sizes[split],
            1,
            2 * self.side,
            self.longest * (self.side + self.gap),
            dtype=torch.uint8,
        )
        strings = torch.full((len(pages), self.longest), NOTHING)
        for number, page in enumerate(pages):
            chosen = self._write(
                page[0], images, generator(self.split_seed, "string", split, number)
            )
            strings[number, : len(chosen)] = classes[chosen]
        return Arrays(self.resize_and_convert(pages), self._asked(strings))

    def _asked(self, strings: Tensor) -> Tensor:
        """What is asked of strings (N, longest): themselves, the labels (N, 10) float32, or the
        counts (N, 1) int64.
        """
        if self.target_kind == "labels":
            return (strings.unsqueeze(2) == torch.arange(len(DIGITS))).any(1).to(torch.float32)
        return (strings != NOTHING).sum(1, keepdim=True) if self.target_kind == "count" else strings

    def _write(self, page: Tensor, images: Tensor, draw: Generator) -> Tensor:
        """Lay random digits onto an empty page, each a little up or down; returns which ones."""
        length = int(torch.randint(self.shortest, self.longest + 1, (), generator=draw))
        chosen = torch.randint(len(images), (length,), generator=draw)
        gaps = torch.randint(self.gap + 1, (length,), generator=draw)
        lifts = torch.randint(self.side + 1, (length,), generator=draw)
        left = 0
        for which, gap, top in zip(chosen.tolist(), gaps.tolist(), lifts.tolist(), strict=True):
            left += gap
            page[top : top + self.side, left : left + self.side] = images[which]
            left += self.side
        return chosen
