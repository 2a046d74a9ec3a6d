"""Images listed in a CSV that names file and label."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from project.data.files import FileImages
from project.engine import Arrays, DataSpec, ItemDataset, UserError
from project.engine.loading.csvfile import CSVFile
from project.engine.loading.listing import Listing, Samples, normal, rows


class CSVImages(FileImages):
    """A folder of images and a CSV with the file name and the label of each.

    The splits are a column of the CSV or text files with a file name in each line; where there is
    neither, shares are held out.

    Args:
        images: The folder of the images, below root; file names are relative to it.
        labels: The CSV, below root.
        file_column: Its column of file names, by name or number; null means the first.
        label_column: Its column of labels; null means the second.
        split_column: Its column of splits (train, val, test).
        number_columns: Its columns of numbers that stand beside each image, a second input of the
            network.
        train_list: A text file below root with the training images; without it they are those of no
            other list.
        val_list: A text file with the validation images.
        test_list: A text file with the test images.
    """

    def __init__(
        self,
        images: str = "images",
        labels: str = "labels.csv",
        file_column: str | int | None = None,
        label_column: str | int | None = None,
        split_column: str | int | None = None,
        number_columns: Sequence[str | int] = (),
        train_list: str | None = None,
        val_list: str | None = None,
        test_list: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(images=images, **options)
        self.labels = Path(self.root) / labels
        self.columns = [
            0 if file_column is None else file_column,
            1 if label_column is None else label_column,
        ]
        self.columns += [] if split_column is None else [split_column]
        self.number_columns = list(number_columns)
        lists = {"train": train_list, "val": val_list, "test": test_list}
        self.lists = {
            split: Path(self.root) / path for split, path in lists.items() if path is not None
        }
        if split_column is not None and self.lists:
            raise UserError(
                f"`data.split_column` and `data.{next(iter(self.lists))}_list` both name the "
                "splits; give one of them"
            )

    def list_files(self) -> Samples:
        listing = Listing(self.folder)
        places = self._read_lists(listing)
        rest = "" if "train" in self.lists else "train"
        options = ["`data.file_column`", "`data.label_column`", "`data.split_column`"][
            : len(self.columns)
        ]
        options += ["`data.number_columns`"] * len(self.number_columns)
        present, named = CSVFile(self.labels, self.read).names, set()
        parted = [str(column) for column in self.apart.values() if column in present]
        options += [f"`data.{what}`" for what, column in self.apart.items() if column in present]
        asked = [*self.columns, *self.number_columns, *parted]
        ends = len(self.columns), len(self.columns) + len(self.number_columns)
        for where, values in rows(self.labels, asked, options, self.read):
            file, label, *written = values[: ends[0]]
            beside, by_column = (
                values[ends[0] : ends[1]],
                dict(zip(parted, values[ends[1] :], strict=True)),
            )
            apart = [by_column.get(str(column), "") for column in self.apart.values()]
            name = normal(file)
            named.add(name)
            split = written[0] if written else places.get(name, ("", rest))[1]
            if split or written:
                listing.add(where, name, label, split, beside, apart=apart)
        listing.wrong += [
            f"{where}: {name} is not in {self.labels}"
            for name, (where, _) in places.items()
            if name not in named
        ]
        return listing.finished(self.labels)

    def describe(self, train: Arrays | ItemDataset) -> DataSpec:
        return dataclasses.replace(
            super().describe(train), columns=tuple(map(str, self.number_columns))
        )

    def _read_lists(self, listing: Listing) -> dict[str, tuple[str, str]]:
        """Where each listed file stands, and its split."""
        places: dict[str, tuple[str, str]] = {}
        for split, path in self.lists.items():
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise UserError(f"`data.{split}_list` {path}: {reason}") from None
            for number, line in enumerate(lines, start=1):
                name = normal(line)
                where = f"{path}:{number}"
                if name and places.setdefault(name, (where, split))[1] != split:
                    listing.wrong.append(f"{where}: {name} is in the {places[name][1]} list too")
        return places
