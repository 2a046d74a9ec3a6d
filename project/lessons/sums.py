"""Two inputs of which neither alone tells the class: the image of a digit, and a number to add to
it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from project.data.digits import Digits
from project.engine import Arrays, ImageData, generator


class DigitSums(ImageData):
    """A handwritten digit and a number from 0 to 9; the class is the last digit of their sum.

    The number is a function of (split_seed, split, sample). With one of the two hidden, only chance
    is left.

    Args:
        hide: "image" or "number" is all zeros, which shows that both are needed.
        copies: How often each digit stands in the training split, each time with another number.
        size: Height and width of the images.
    """

    splits = ("train", "val", "test")
    names = tuple("0123456789")

    def __init__(
        self,
        hide: Literal["image", "number"] | None = None,
        copies: PositiveInt = 4,
        size: PositiveInt = 16,
        **options: Any,
    ) -> None:
        super().__init__(size=size, **options)
        self.hide, self.copies = hide, copies
        shares = {"validation": self.shares["val"], "test": self.shares["test"]}
        self.digits = Digits(size=size, split_seed=self.split_seed, **shares)

    def load(self, split: str) -> Arrays:
        digits = self.digits.part(split)
        assert isinstance(digits, Arrays) and isinstance(digits.targets, Tensor)
        rows = digits.rows.repeat(self.copies if split == "train" else 1)
        numbers = torch.randint(
            10, (len(rows),), generator=generator(self.split_seed, "number", split)
        )
        images, columns = digits.input(0, rows), numbers.float().unsqueeze(1)
        if self.hide is not None:
            (images if self.hide == "image" else columns).zero_()
        return Arrays((images, columns), (digits.targets[rows] + numbers) % 10)
