"""Small data of the kinds that the rooms have none of, known to the tests by short names."""

from __future__ import annotations

import torch

from project.engine import Arrays, DataModule, ImageData, generator

SPLITS = ("train", "val", "test")
SIZES = {"train": 640, "val": 64, "test": 64}


class Numbers(DataModule):
    """A number that depends on two others; validation and test are held out."""

    splits = ("train",)

    def load(self, split: str) -> Arrays:
        inputs = torch.randn(400, 2, generator=generator("numbers"))
        return Arrays(inputs, inputs @ torch.tensor([2.0, -3.4]) + 4.2)


class YesNo(DataModule):
    """Two classes of four points, as few as can be."""

    splits = SPLITS
    names = ("no", "yes")

    def load(self, split: str) -> Arrays:
        return Arrays(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0, 0, 1, 1]))


class YesNoLabels(DataModule):
    """Two labels, each of one number."""

    splits = ("train",)
    names = ("left", "right")

    def load(self, split: str) -> Arrays:
        inputs = torch.randn(200, 2, generator=generator("labels"))
        return Arrays(inputs, (inputs > 0).float())


class Counts(DataModule):
    """How many, from a rate."""

    splits = ("train",)
    names = ("birds",)

    def load(self, split: str) -> Arrays:
        rates = torch.rand(200, 1, generator=generator("counts")) * 5
        return Arrays(rates, torch.poisson(rates, generator=generator("birds")).long())


class ImagesAndNumbers(ImageData):
    """A bright or dark image and a number; the class says whether they agree."""

    splits = SPLITS
    names = ("other", "same")

    def load(self, split: str) -> Arrays:
        draw = generator("pairs", split)
        bright, high = (torch.randint(2, (SIZES[split],), generator=draw) for _ in range(2))
        noise = torch.randint(100, (SIZES[split], 1, 16, 16), generator=draw)
        images = (noise + 150 * bright.reshape(-1, 1, 1, 1)).to(torch.uint8)
        return Arrays((images, high.unsqueeze(1).float()), (bright == high).long())


class Bars(ImageData):
    """One to three bars in an image, read from left to right: "a" is low, "b" is high."""

    splits = SPLITS
    names = ("a", "b")
    target_kind = "sequence"

    def load(self, split: str) -> Arrays:
        draw = generator("bars", split)
        images = torch.zeros(SIZES[split], 1, 16, 64, dtype=torch.uint8)
        letters = torch.randint(2, (SIZES[split], 3), generator=draw)
        lengths = torch.randint(1, 4, (SIZES[split],), generator=draw)
        for image, word, length in zip(images, letters, lengths.tolist(), strict=True):
            word[length:] = -1
            for place, letter in enumerate(word[:length].tolist()):
                image[0, 2 if letter else 10 : 14, 20 * place + 4 : 20 * place + 14] = 255
        return Arrays(images, letters)
