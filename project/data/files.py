"""Images as files: which belong to which split, decoded once or when they are needed."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse.typing import PositiveFloat
from torch import Tensor
from torch.utils.data import Dataset

from project.engine import (
    Arrays,
    ImageData,
    Inputs,
    ItemDataset,
    UserError,
    clip,
)
from project.engine.building.rules import expression
from project.engine.loading.cache import Shape, cached_images, common_shape, decode, user_folder
from project.engine.loading.columns import moments, number_targets
from project.engine.loading.csvoptions import ReadOptions, finite
from project.engine.loading.listing import (
    Sample,
    Samples,
)


class ReadOnDemand(Dataset[tuple[Inputs, Any]]):
    """Images decoded when they are asked for: (C, H, W) uint8, or a pair with the numbers beside
    it, and the target.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        targets: Sequence[str] | Tensor,
        shape: Shape,
        numbers: Tensor | None = None,
    ) -> None:
        self.paths, self.targets, self.shape, self.numbers = paths, targets, shape, numbers

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Inputs, Any]:
        image = torch.tensor(decode(self.paths[row], self.shape)).permute(2, 0, 1)
        return image if self.numbers is None else (image, self.numbers[row]), self.targets[row]


class FileImages(ImageData):
    """Images in files; a dataset of your own says in `list_files` which ones belong to which split.

    Args:
        images: The folder of the images, below root.
        cache: true decodes and resizes each image once and keeps the pixels in the user's cache
            folder, text names another folder, false decodes each image whenever it is needed.
        cache_gigabytes: What the cache folder may hold; what was not used for longest is deleted.
        group: What must not be parted, such as the images of one person: a column of the CSV, or a
            regular expression whose first brackets find it in a file's path: 'p([0-9]+)_'.
        time: When an image was, found the same way: the latest are tested, those before them
            validate, the past is trained on.
        read: How the CSV is written, by the names of pandas.read_csv: sep, header, encoding, ...
    """

    def __init__(
        self,
        images: str = ".",
        cache: bool | str = True,
        cache_gigabytes: PositiveFloat = 10.0,
        group: str | None = None,
        time: str | None = None,
        read: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.folder = Path(self.root) / images
        self.cache, self.cache_gigabytes = cache, cache_gigabytes
        self.apart = {"group": group, "time": time}
        self.left_out = Counter[str]()  # endings of files that are not taken for images
        self.read = ReadOptions({"na_values": [], "keep_default_na": False} | (read or {}))

    @abstractmethod
    def list_files(self) -> Samples:
        """The files of each split, in their order; nothing is decoded."""

    @cached_property
    def listed(self) -> Samples:
        """What `list_files` found, asked once."""
        if not Path(self.root).is_dir():
            raise UserError(f"`data.root` {self.root}: there is no such folder")
        if not self.folder.is_dir():
            raise UserError(f"`data.images`: there is no folder {self.folder}")
        try:
            found = self.list_files()
        except OSError as error:
            raise UserError(f"{error.filename or self.folder}: {error.strerror}") from error
        found = {split: self._set_apart(samples) for split, samples in found.items()}
        if self.left_out:
            kinds = ", ".join(
                f"{n:,} {end or 'without ending'}" for end, n in self.left_out.items()
            )
            self.note(f"{self.folder}: files that are not taken for images: {kinds}")
        return found

    def _set_apart(self, samples: list[Sample]) -> list[Sample]:
        """The samples with their groups and times, where those stand in their paths."""
        for what, pattern in self.apart.items():
            if pattern is None or any(getattr(sample, what) for sample in samples):
                continue
            where = f"`data.{what}` {pattern}"
            wanted = expression(pattern, where)
            if not wanted.groups:
                raise UserError(f"{where}: expected a column of the CSV, or brackets: 'p([0-9]+)_'")
            found = [wanted.search(sample.file) for sample in samples]
            if None in found:
                file = samples[found.index(None)].file
                raise UserError(f"{where}: not found in {clip(file)!r}")
            texts = [match[1] or "" for match in found if match]
            samples = [
                sample._replace(group=text) if what == "group" else sample._replace(time=text)
                for sample, text in zip(samples, texts, strict=True)
            ]
        return samples

    def _parted(self, split: str) -> dict[str, Tensor]:
        """Groups and times of a split's samples, where they decide what is held out."""
        samples, parted = self.listed[split], dict[str, Tensor]()
        if self.apart["group"] is not None:
            groups = np.unique([sample.group for sample in samples], return_inverse=True)[1]
            parted["groups"] = torch.from_numpy(groups.astype(np.int64))
        if self.apart["time"] is not None:

            def fault(row: int, reason: str) -> UserError:
                return UserError(f"{samples[row].file}: {reason}")

            parted["times"] = torch.from_numpy(moments([one.time for one in samples], fault))
        return parted

    @property
    def splits(self) -> Sequence[str]:
        return tuple(self.listed)

    def load(self, split: str) -> Arrays | ReadOnDemand:
        part = self._pixels(split)
        for name, values in self._parted(split).items():
            setattr(part, name, values)
        return part

    def _pixels(self, split: str) -> Arrays | ReadOnDemand:
        if split not in self.listed:
            raise UserError(
                f"{self.folder}: no image belongs to the {split} split; there is "
                f"{' and '.join(self.listed)}"
            )
        files, names, beside, *_ = zip(*self.listed[split], strict=True)
        numbers = torch.tensor(beside) if beside[0] else None
        labels = self._labels(files, names)
        # Validation and test images get the channels of the training split, even if all of them
        # happen to be grey.
        channels = (
            self.spec.inputs[0][0] if self.preprocessing and split != "train" else self.channels
        )
        threads = torch.get_num_threads()
        if self.cache is False:
            paths = [self.folder / file for file in files]
            return ReadOnDemand(
                paths, labels, common_shape(paths, self.size, channels, threads), numbers
            )
        folder = user_folder() if self.cache is True else Path(self.cache).expanduser()
        pixels = cached_images(
            self.folder, files, self.size, channels, folder, self.cache_gigabytes, threads
        )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # torch knows no read-only tensors; this one is only ever read
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        return Arrays(images if numbers is None else (images, numbers), labels)

    def _labels(self, files: Sequence[str], names: Sequence[str]) -> Sequence[str] | Tensor:
        """Names of classes, or numbers (N, 1) where the task is for numbers."""
        kind = self.spec.target if self.preprocessing else self.wanted_target
        if kind not in ("number", "count"):
            return names

        def fault(row: int, reason: str) -> UserError:
            return UserError(f"{files[row]}: the label {clip(names[row])!r} {reason}")

        numbers = [finite(name) for name in names]
        if None in numbers:
            raise fault(numbers.index(None), "is not a number")
        values = np.array(numbers, np.float64)
        return number_targets(values, np.arange(len(values)), kind, fault)

    def sample_columns(self, split: str, ids: Sequence[int]) -> dict[str, list[Any]]:
        files = self.listed[split if split in self.listed else "train"]
        return {"file": [files[row].file for row in ids]}

    def encode(self, part: Arrays | ItemDataset) -> Arrays | ItemDataset:
        if isinstance(part, ItemDataset) and not isinstance(part.dataset.targets, Tensor):
            images = part.dataset
            numbered = ReadOnDemand(
                images.paths, self.class_numbers(images.targets), images.shape, images.numbers
            )
            return ItemDataset(numbered, part.seed, part.rows)
        return super().encode(part)
