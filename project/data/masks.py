"""Masks: images with a class for each pixel, from files, or made of handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jsonargparse.typing import ClosedUnitInterval, NonNegativeFloat, PositiveInt
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms import v2

from project.data.augment import Crop, Cutout, Flip
from project.data.digits import Digits
from project.data.files import FileImages, ReadOnDemand
from project.data.vision import MNIST
from project.engine import (
    IGNORED,
    Arrays,
    ImageData,
    UserError,
    augmented,
    clip,
    generator,
    suggest,
)
from project.engine.bases.images import CHUNK
from project.engine.loading.inputs import IMAGES
from project.engine.loading.listing import SPLIT_NAMES, SPLITS, Sample, Samples, rows

TOGETHER = (Crop, Flip)  # pixels only move, so a mask can go along
ALONE = (
    Cutout,
    v2.ColorJitter,
    v2.RandomPhotometricDistort,
    v2.RandomGrayscale,
    v2.RandomInvert,
    v2.RandomAutocontrast,
)


class MaskData(ImageData):
    """Images with a class for each pixel: `load` returns images and masks, (N, H, W) uint8, IGNORED
    where there is none.

    A dataset of your own has the `names` of the classes; of two, the first is the background.
    """

    target_kind = "mask"

    def setup(self, stage: str) -> None:
        for step in self.augment:
            if not isinstance(step, TOGETHER + ALONE):
                known = ", ".join(kind.__name__ for kind in TOGETHER + ALONE)
                raise UserError(
                    f"`data.augment`: {type(step).__name__} would tear images and masks apart; "
                    f"for masks: {known}"
                )
        super().setup(stage)

    def changed(self, images: Tensor, targets: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
        for step in self.augment:
            if isinstance(step, TOGETHER):
                # One channel more. IGNORED goes around to 0, so that what is filled with black is
                # ignored.
                joint = torch.cat([images, (targets + 1).unsqueeze(1)], dim=1)
                joint = step(joint, draw)
                images, targets = joint[:, :-1], joint[:, -1] - 1
            else:
                images, _ = augmented(images, targets, [step], self.spec.outputs, draw)
        return images, targets


# ---------------------------------------------------------------------- digits in clutter


class DigitMasks(MaskData):
    """Handwritten digits in front of clutter; the mask is where the clean image is bright.

    The clutter is made of blobs as wide as strokes, the digits differ in contrast, and there is
    noise, so that no threshold on the image finds the mask. What belongs to a sample is a function
    of `split_seed` and its number.

    Args:
        source: Whose digits: those shipped with the package, or MNIST.
        size: Height and width of the images.
        threshold: Share of full brightness above which a pixel of the clean image belongs to the
            digit.
        clutter: Brightness of the clutter, as a share of full brightness.
        noise: Standard deviation of the noise, as a share of full brightness.
    """

    names = ("background", "digit")

    def __init__(
        self,
        source: Literal["Digits", "MNIST"] = "Digits",
        size: PositiveInt = 32,
        threshold: ClosedUnitInterval = 0.5,
        clutter: NonNegativeFloat = 0.3,
        noise: NonNegativeFloat = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(size=size, **options)
        self.digits: ImageData = (Digits if source == "Digits" else MNIST)(
            root=self.root, size=size
        )
        self.threshold, self.clutter, self.noise = threshold, clutter, noise

    @property
    def splits(self) -> Sequence[str]:
        return self.digits.splits

    def prepare_data(self) -> None:
        self.digits.prepare_data()

    def load(self, split: str) -> Arrays:
        digits = self.digits.load(split)
        assert isinstance(digits, Arrays)
        clean = digits.input(0, digits.rows)
        masks = (clean[:, 0] > 255 * self.threshold).to(torch.uint8).contiguous()
        parts = [
            self.cluttered(part, generator(self.split_seed, "clutter", split, number))
            for number, part in enumerate(clean.split(CHUNK))
        ]
        return Arrays(self.resize_and_convert(torch.cat(parts)), masks)

    def cluttered(self, clean: Tensor, draw: Generator) -> Tensor:
        """Digits of different contrast with clutter behind them: (N, 1, H, W) uint8 to the same."""
        size, _, height, width = clean.shape
        coarse = torch.rand(size, 1, 8, 8, generator=draw)
        blobs = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
        contrast = 0.4 + 0.4 * torch.rand(size, 1, 1, 1, generator=draw)
        noise = torch.randn(clean.shape, generator=draw)
        image = self.clutter * blobs + contrast * clean / 255 + self.noise * noise
        return image.mul(255).round_().clamp_(0, 255).to(torch.uint8)


# ---------------------------------------------------------------------- files


class MaskFolder(MaskData, FileImages):
    """A folder of images and a folder of masks of the same names; the value of a mask's pixel
    stands for its class.

    Args:
        images: The folder of the images, below root.
        masks: The folder of the masks, below root: grey or palette images.
        split_file: A CSV below root with the columns file and split (train, val, test); a file may
            be named without its ending. Null holds out shares.
        classes: A CSV below root with the columns value and name.
        ignore: Classes that neither loss nor metrics look at.
        foreground: Classes that are found against all others; null tells all classes apart.
    """

    def __init__(
        self,
        images: str = "images",
        masks: str = "masks",
        split_file: str | None = None,
        classes: str = "classes.csv",
        ignore: list[str] | None = None,
        foreground: list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(images=images, **options)
        self.masks = Path(self.root) / masks
        self.split_file = Path(self.root) / split_file if split_file else None
        self.classes = Path(self.root) / classes
        self.ignore, self.foreground = ignore or [], foreground

    def list_files(self) -> Samples:
        """Each image with the file of its mask for a label."""
        if not self.masks.is_dir():
            raise UserError(f"`data.masks`: there is no folder {self.masks}")
        images, masks = _by_name(self.folder), _by_name(self.masks)
        if not images:
            raise UserError(f"{self.folder}: no images ({', '.join(IMAGES[:3])}, ...)")
        if lonely := next((name for name in images if name not in masks), None):
            raise UserError(
                f"{self.folder / images[lonely]}: there is no mask of the same name in {self.masks}"
            )
        if self.split_file is None:
            return {"train": [Sample(file, masks[name]) for name, file in images.items()]}
        samples: dict[str, dict[str, Sample]] = {split: {} for split in SPLITS}
        for where, (file, written) in rows(
            self.split_file, ["file", "split"], ["`data.split_file`"] * 2, self.read
        ):
            name, split = _name(file), SPLIT_NAMES.get(written.lower(), "")
            if name not in images:
                raise UserError(f"{where}: there is no image {clip(file)!r} in {self.folder}")
            if not split:
                raise UserError(
                    f"{where}: unknown split {clip(written)!r}; "
                    f"{suggest(written, SPLITS, 'splits are')}"
                )
            if any(name in part for part in samples.values()):
                raise UserError(f"{where}: {clip(file)} is listed before")
            samples[split][name] = Sample(images[name], masks[name])
        return {split: list(part.values()) for split, part in samples.items() if part}

    def load(self, split: str) -> Arrays | ReadOnDemand:
        images = super().load(split)
        self.names, numbers = self.class_table()
        height, width = images.shapes[0][1:] if isinstance(images, Arrays) else images.shape[:2]
        masks = [
            read_mask(self.masks / str(file), (height, width), self.size is not None)
            for file in images.targets
        ]
        coded = torch.from_numpy(numbers[np.stack(masks)])
        if (coded < 0).any():
            row = int((coded < 0).flatten(1).any(1).nonzero()[0])
            value = masks[row][(coded[row] < 0).numpy()][0]
            raise UserError(
                f"{self.masks / str(images.targets[row])}: value {value} has no name in "
                f"{self.classes}"
            )
        images.targets = coded.to(torch.uint8)
        return images

    def class_table(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The names of the classes, and for each of the 256 values a class number, IGNORED, or -1
        if it has no name.
        """
        named: dict[int, str] = {}
        for where, (value, name) in rows(
            self.classes, ["value", "name"], ["`data.classes`"] * 2, self.read
        ):
            if not (value.isdecimal() and int(value) < 256) or not name or int(value) in named:
                raise UserError(
                    f"{where}: expected a value of 0 to 255 that stands nowhere else, and a name"
                )
            named[int(value)] = name
        for option, names in (("ignore", self.ignore), ("foreground", self.foreground or [])):
            for name in names:
                if name not in named.values():
                    raise UserError(
                        f"`data.{option}`: unknown class {clip(name)!r}; "
                        f"{suggest(name, named.values(), 'classes')}"
                    )
        kept = tuple(dict.fromkeys(name for name in named.values() if name not in self.ignore))
        if self.foreground is not None:
            number = {name: int(name in self.foreground) for name in kept}
            kept = ("background", "+".join(self.foreground))
        else:
            number = {name: place for place, name in enumerate(kept)}
        table = np.full(256, -1, dtype=np.int16)
        for code, name in named.items():
            table[code] = number.get(name, IGNORED)
        return kept, table


def read_mask(path: Path, shape: tuple[int, int], resize: bool) -> np.ndarray:
    """The values of a mask: (H, W) uint8; resized by the nearest pixel, since there is nothing
    between two classes.

    Raises:
        UserError: it cannot be read, has colours instead of values, or is not as large as its
            image.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P"):
                raise UserError(
                    f"{path}: a mask of mode {image.mode}; expected one value of 0 to 255 for "
                    "each pixel"
                )
            if image.size != shape[::-1]:
                if not resize:
                    raise UserError(
                        f"{path}: {image.width}x{image.height} pixels, its image has "
                        f"{shape[1]}x{shape[0]}"
                    )
                return np.array(image.resize(shape[::-1], Image.Resampling.NEAREST), dtype=np.uint8)
            return np.array(image, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{path}: the mask cannot be read: {clip(error, 100)}") from error


def _name(file: str) -> str:
    """A file without the ending of an image."""
    path = Path(file.strip().replace("\\", "/"))
    return (path.with_suffix("") if path.suffix.lower() in IMAGES else path).as_posix()


def _by_name(folder: Path) -> dict[str, str]:
    """The image files below a folder, by their names without ending."""
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGES
    )
    return {_name(file): file for file in files}
