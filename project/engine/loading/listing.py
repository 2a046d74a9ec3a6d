"""Samples listed in a CSV line by line, and the faults of its lines."""

from __future__ import annotations

import ntpath
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError, clip, suggest
from .csvfile import CSVFile
from .csvoptions import ReadOptions, composed, finite

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLIT_NAMES |= dict.fromkeys(("val", "valid", "validation"), "val")


class Sample(NamedTuple):
    """An image file, its path relative to the folder of the images, its class, numbers that stand
    beside it, what it must not be parted from, and when it was.
    """

    file: str
    label: str
    numbers: tuple[float, ...] = ()
    group: str = ""
    time: str = ""


Samples = dict[str, list[Sample]]  # of each split


class Listing:
    """Samples gathered line by line; the lines that are wrong are reported together at the end.

    known: each file's sample and split.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, tuple[Sample, str]] = {}
        self.wrong: list[str] = []

    def add(
        self,
        where: Where,
        file: str,
        label: str,
        split: str,
        beside: Sequence[str] = (),
        no_label: str = "the label is missing",
        apart: Sequence[str] = ("", ""),
    ) -> None:
        """Take the sample of a line, `where` being its place; `beside` are the numbers that belong
        to it, as written, `apart` its group and its time.
        """
        part = SPLIT_NAMES.get(split.lower(), "")
        numbers = [finite(text) for text in beside]
        sample = Sample(
            file, label, tuple(number for number in numbers if number is not None), *apart
        )
        leads_out = (
            posixpath.isabs(file) or ntpath.splitdrive(file)[0] or file.split("/")[0] == ".."
        )
        if not file:
            fault = "the file name is missing"
        elif leads_out:
            fault = f"{clip(file)!r} leads out of the folder of the images, {self.folder}"
        elif not label:
            fault = f"{clip(file)}: {no_label}"
        elif not part:
            fault = f"unknown split {clip(split)!r}; {suggest(split, SPLITS, 'splits are')}"
        elif None in numbers:
            fault = (
                f"{clip(beside[numbers.index(None)])!r} in a column of `data.number_columns` is "
                "not a finite number"
            )
        elif (before := self.known.setdefault(file, (sample, part))) != (sample, part):
            numbers_too = f", numbers {clip(before[0].numbers)}" if beside else ""
            fault = (
                f"{clip(file)} is listed before with label {clip(before[0].label)!r}, split "
                f"{before[1]}{numbers_too}"
            )
        elif (self.folder / file).is_file():
            return
        elif (found := self._written_otherwise(file)) is not None:
            self.known[file] = (sample._replace(file=found), part)
            return
        else:
            fault = f"there is no file {self.folder / file}"
        self.wrong.append(f"{where}: {fault}")

    def _written_otherwise(self, file: str) -> str | None:
        """The file that is meant: its name has an ending that the list leaves out, or is composed
        of other characters (macOS writes an umlaut as two).
        """
        found = self._by_name.get(composed(file)) or self._by_name.get(f"{composed(file)}.*")
        return found[0] if found and len(found) == 1 else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """The files below the folder by their composed names, and by those without an ending."""
        names: dict[str, list[str]] = {}
        for path in self.folder.rglob("*"):
            if path.suffix and path.is_file():
                file = path.relative_to(self.folder)
                for name in (file, file.with_suffix(".*")):
                    names.setdefault(composed(name.as_posix()), []).append(file.as_posix())
        return names

    def finished(self, path: Path) -> Samples:
        """The samples of each split.

        Raises:
            UserError: lines are wrong, or there are none.
        """
        if self.wrong:
            more = f" ({len(self.wrong):,} lines are wrong)" if len(self.wrong) > 1 else ""
            raise UserError(self.wrong[0] + more)
        if not self.known:
            raise UserError(f"{path}: no images are listed")
        samples: Mapping[str, list[Sample]] = {split: [] for split in SPLITS}
        for sample, split in self.known.values():
            samples[split].append(sample)
        return {split: part for split, part in samples.items() if part}


def normal(file: str) -> str:
    """A file name as it is compared: ./a.jpg and a.jpg are one file, and Windows writes folders
    with backslashes.
    """
    written = file.strip().replace("\\", "/")
    return posixpath.normpath(written) if written else ""


def rows(
    path: Path, columns: Sequence[int | str], options: Sequence[str], how: ReadOptions
) -> Iterator[tuple[Where, tuple[str, ...]]]:
    """The values of some columns as texts, each row with its place in the file.

    Raises:
        UserError: a column is not there, a row has too few or too many fields.
    """
    file = CSVFile(path, how)
    names = [file.find(column, option) for column, option in zip(columns, options, strict=True)]
    file.read(file.names, skip={*file.names} - {*names}, may_be_empty=True)
    table = [file.texts(name) for name in names]
    for row, values in enumerate(zip(*table, strict=True)):
        yield Where(file, row), values


class Where(NamedTuple):
    """A row of a file, written as file:line; the line is looked for when it is asked for."""

    file: CSVFile
    row: int

    def __str__(self) -> str:
        return self.file.where(self.row)
