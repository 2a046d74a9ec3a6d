"""A folder of images for each class."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from project.data.files import FileImages
from project.engine import (
    UserError,
    clip,
    suggest,
)
from project.engine.loading.csvfile import CSVFile
from project.engine.loading.csvoptions import composed
from project.engine.loading.inputs import IMAGES
from project.engine.loading.listing import (
    SPLIT_NAMES,
    SPLITS,
    Listing,
    Sample,
    Samples,
    normal,
    rows,
)

# folders that systems and programs make beside pictures
MADE_BY_SYSTEMS = {
    *"__macosx __pycache__ @eadir #recycle $recycle.bin lost+found thumbs.db desktop.ini".split(),
    "system volume information",
}


class ImageFolder(FileImages):
    """A folder of images for each class: root/cat/a.jpg.

    The splits are folders above the classes (root/train/cat/a.jpg, root/val, root/test) or are
    listed in a CSV; where there is neither, shares are held out.

    Args:
        split_file: A CSV below root with the columns file and split (train, val, test); files are
            relative to `images`. Without `split`, `group` or `time` names a column that decides.
    """

    def __init__(self, split_file: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.split_file = split_file

    def list_files(self) -> Samples:
        if self.split_file is not None:
            return self._listed_in(Path(self.root) / self.split_file)
        folders = _folders_in(self.folder)
        above_classes = [folder for folder in folders if _folders_in(folder)]
        if self.predicting and self.preprocessing and (without := self._without_classes(folders)):
            self.targets_known = False
            return {"test": without}
        if not any(folder.name.lower() in SPLIT_NAMES for folder in above_classes):
            if len(folders) == 1:
                raise UserError(
                    f"{folders[0]} is the only class folder; is `data.root` the folder of the "
                    "class folders?"
                )
            return {"train": self._classes(folders)}
        samples: Samples = {}
        for folder in above_classes:
            split = SPLIT_NAMES.get(folder.name.lower())
            if split is None:
                raise UserError(
                    f"{folder}: unknown split {clip(folder.name)!r}; "
                    f"{suggest(folder.name, SPLITS, 'splits are')}"
                )
            if split in samples:
                raise UserError(f"{folder}: there is another folder for the {split} split")
            samples[split] = self._classes(_folders_in(folder))
        for one, other in itertools.combinations(above_classes, 2):
            if one.samefile(other):
                raise UserError(
                    f"{one} and {other} are the same folder: the model would be tested on what "
                    "it was trained on"
                )
        return {split: samples[split] for split in SPLITS if split in samples}

    def _without_classes(self, folders: Sequence[Path]) -> list[Sample]:
        """Images to predict that lie in no class folders: those of a folder `test`, or all."""
        tests = [f for f in folders if SPLIT_NAMES.get(f.name.lower()) == "test"]
        where = tests[0] if tests else self.folder
        known = {composed(folder.name) for folder in _folders_in(where)} & {*self.spec.names}
        if known or (not tests and any(f.name.lower() in SPLIT_NAMES for f in folders)):
            return []
        self.left_out.clear()
        found = _images_below(where, set(), self.left_out)
        names = [path.relative_to(self.folder).as_posix() for path in found]
        return [Sample(name, self.spec.names[0]) for name in names]

    def _classes(self, folders: Sequence[Path]) -> list[Sample]:
        """The images of class folders."""
        samples: list[Sample] = []
        seen = {_identity(self.folder)}
        for folder in folders:
            found = _images_below(folder, seen, self.left_out)
            files = [str(path.relative_to(self.folder)) for path in found]
            if not files:
                raise UserError(
                    f"{folder}: a class folder without images ({', '.join(IMAGES[:3])}, ...); "
                    "fill or remove it"
                )
            samples += [Sample(file, composed(folder.name)) for file in files]
        if not samples:
            expected = f"{self.folder}/CLASS/*.jpg or {self.folder}/train/CLASS/*.jpg"
            raise UserError(f"{self.folder}: no class folders; expected images as {expected}")
        return samples

    def _listed_in(self, path: Path) -> Samples:
        listing = Listing(self.folder)
        columns, present = ["file"], CSVFile(path, self.read).names
        columns += ["split"] * ("split" in present or not {*self.apart.values()} & {*present})
        columns += [str(name) for name in self.apart.values() if name in present]
        for where, (file, *more) in rows(
            path, columns, ["`data.split_file`"] * len(columns), self.read
        ):
            name, by_column = normal(file), dict(zip(columns[1:], more, strict=True))
            label = name.partition("/")[0] if "/" in name else ""
            apart = [by_column.get(str(column), "") for column in self.apart.values()]
            split, no_label = by_column.get("split", "train"), "it lies in no class folder"
            listing.add(where, name, label, split, no_label=no_label, apart=apart)
        return listing.finished(path)


def _visible(folder: Path) -> list[Path]:
    """The entries of a folder in order, without hidden ones and what systems put there."""
    found = sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in MADE_BY_SYSTEMS
    )
    if broken := next((path for path in found if path.is_symlink() and not path.exists()), None):
        raise UserError(f"{broken}: a link to nothing; repair or remove it")
    return found


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _images_below(
    folder: Path, seen: set[tuple[int, int]], left_out: Counter[str]
) -> Iterator[Path]:
    """The image files at any depth; links are followed, but into no folder twice.

    The endings of all other files are counted in `left_out`.
    """
    here = _identity(folder)
    if here in seen:
        raise UserError(f"{folder}: a link to a folder that is read already; remove it")
    seen.add(here)
    for path in _visible(folder):
        if path.is_dir():
            yield from _images_below(path, seen, left_out)
        elif path.name.lower().endswith(IMAGES):
            if not path.is_file():
                raise UserError(f"{path}: not a file")
            yield path
        elif path.name.lower() not in MADE_BY_SYSTEMS:
            left_out[path.suffix.lower()] += 1


def _identity(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_dev, state.st_ino
