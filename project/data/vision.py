"""TorchvisionData image data, read and downloaded by torchvision: MNIST, FashionMNIST, CIFAR10. A
tenth of train is validation.
"""

from __future__ import annotations

from abc import ABC
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import torch
from torchvision import datasets

from project.engine import Arrays, ImageData, UserError, clip


class TorchvisionData(ImageData, ABC):
    """A dataset of torchvision, held in memory.

    Args:
        download: Fetch the files when they are not there.
    """

    source: ClassVar[type[datasets.VisionDataset]]
    folder: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    names = tuple("0123456789")

    def __init__(self, download: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.download = download

    @property
    def place(self) -> Path:
        """The folder of the files."""
        return Path(self.root).expanduser() / self.folder

    def missing(self) -> list[str]:
        """The files that are not there."""
        return [name for name in self.files if not (self.place / name).is_file()]

    def prepare_data(self) -> None:
        """Download what is missing; Lightning calls it in one process of each machine.

        Raises:
            UserError: there is no way to the files.
        """
        if not self.download or not self.missing():
            return
        try:
            self.source(str(self.root), train=False, download=True)
        except (URLError, OSError, RuntimeError) as error:
            reason = (
                str(error).strip().splitlines()[-1]
            )  # the earlier lines say which addresses were tried
            raise UserError(
                f"{self._absent()}; the download failed: {clip(reason, 100)}"
            ) from error

    def load(self, split: str) -> Arrays:
        if self.missing():
            raise UserError(f"{self._absent()}; `data.download` true fetches them")
        try:
            dataset: Any = self.source(str(self.root), train=split == "train")
            images, targets = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets)
            if len(images) != len(targets) or not 0 <= int(targets.min()) <= int(
                targets.max()
            ) < len(self.names):
                raise ValueError(
                    f"{len(images)} images, {len(targets)} classes of {targets.min()} to "
                    f"{targets.max()}"
                )
        except Exception as error:  # torchvision's readers fail in many ways
            name = type(self).__name__
            raise UserError(
                f"{name}: the files in {self.place} are damaged "
                f"({clip(error, 100) or type(error).__name__}); "
                f"delete the folder and they are downloaded again"
            ) from error
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
        return Arrays(self.resize_and_convert(images), targets)

    def _absent(self) -> str:
        first, *others = self.missing()
        more = f" (and {', '.join(others)})" if others else ""
        name = type(self).__name__
        return (
            f"{name}: there is no {self.place / first}{more}; put it there, or name with "
            f"`data.root` the folder of {self.folder}"
        )


IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class MNIST(TorchvisionData):
    """70,000 handwritten digits, 28x28 grey (LeCun, Cortes, Burges, 1998)."""

    source, folder, files = datasets.MNIST, "MNIST/raw", IDX_FILES


class FashionMNIST(TorchvisionData):
    """70,000 pieces of clothing, 28x28 grey, 10 classes (Xiao, Rasul, Vollgraf, 2017)."""

    source, folder, files = datasets.FashionMNIST, "FashionMNIST/raw", IDX_FILES
    names = tuple(datasets.FashionMNIST.classes)


class CIFAR10(TorchvisionData):
    """60,000 photos, 32x32 in colour, 10 classes (Krizhevsky, 2009)."""

    source, folder = datasets.CIFAR10, "cifar-10-batches-py"
    files = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    names = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
