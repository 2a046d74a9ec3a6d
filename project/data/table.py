"""Tables: numbers standardised, texts as codes, one column to predict."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from project.engine import Arrays, DataModule, DataSpec, ItemDataset, UserError, clip, suggest
from project.engine.loading.csvfile import (
    UNNAMED,
    CSVFile,
    Format,
    Numbers,
    Texts,
    find,
    header,
    read,
)

MOSTLY = 0.9  # a column of texts of which this share are numbers is taken for a mistake
MISSING = "; `data.missing` names the texts that mean a missing value"
MIXED = f"{MISSING}, `data.categorical` the columns that are categories"


class Table(Arrays):
    """The rows of a file before they are encoded.

    targets: (N,) places in `labels`, (N, 1) float32 numbers, or (N, 1) int64 counts.
    target: the column they come from.
    categorical: the columns that are categories whatever they look like.
    encoded: the whole file once it is encoded, which all parts of it share.
    """

    def __init__(
        self,
        file: CSVFile,
        target: str,
        targets: Tensor,
        labels: Sequence[str],
        categorical: set[str],
    ) -> None:
        super().__init__(torch.empty(file.size, 0), targets)
        self.file, self.target, self.labels, self.categorical = file, target, labels, categorical
        self.encoded: list[Arrays] = []


class CSVTable(DataModule):
    """A CSV file: classification or regression of one column.

    Numbers are standardised; a column with missing ones gets a second, which is 1 where it is
    missing. Texts become codes, which the MLP one-hot encodes or embeds; code 0 is for missing,
    rare and unseen ones.

    Args:
        file: The table, a path below root.
        test_file: The official test split; null holds out a share of the table.
        val_file: The validation split; null holds out a share of the table.
        target: The column to predict: its name, or its number from 0 (-1 is the last).
        target_type: class, number, or count (whole, 0 or more); auto takes texts for classes and
            numbers with a decimal point for numbers.
        drop: Columns to leave out, by name or number.
        categorical: Columns of numbers that mean categories, such as postal codes.
        min_count: Texts rarer than this in the training split share the code of unseen ones.
        separator: The character between fields, or tab.
        header: Whether the first line names the columns.
        comment: Lines that begin with this are skipped.
        missing: Texts that mean a missing value, besides the empty one.
        label_suffix: What is cut from the end of each class name.
        encoding: Of the files.
    """

    def __init__(
        self,
        file: str = "train.csv",
        test_file: str | None = None,
        val_file: str | None = None,
        target: int | str = "target",
        target_type: Literal["auto", "class", "number", "count"] = "auto",
        drop: Sequence[int | str] = (),
        categorical: Sequence[int | str] = (),
        min_count: PositiveInt = 2,
        separator: str = ",",
        header: bool = True,
        comment: str | None = None,
        missing: Sequence[str] = ("?", "NA", "NaN", "nan"),
        label_suffix: str = "",
        encoding: str = "utf-8",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.files = {"train": file, "val": val_file, "test": test_file}
        self.splits = [split for split, name in self.files.items() if name is not None]
        self.target, self.target_type, self.label_suffix = target, target_type, label_suffix
        self.drop, self.categorical, self.min_count = drop, categorical, min_count
        separator = {"tab": "\t", "\\t": "\t"}.get(separator, separator)
        self.format = Format(separator, header, comment or None, encoding, tuple(missing))

    # ------------------------------------------------------------------ reading

    def load(self, split: str) -> Arrays:
        option = "`data.file`" if split == "train" else f"`data.{split}_file`"
        path = _existing(Path(self.root), str(self.files[split]), option)
        names = header(path, self.format)
        target, kind, categorical, wanted = (
            self._fitted_columns if self.preprocessing else self._chosen_columns
        )(names, path)
        texts = categorical | {target} if kind == "class" else categorical
        file = read(path, self.format, texts, skip={*names} - {*wanted})
        if target not in names:
            self.targets_known = False
            return Table(file, target, *self._stand_ins(file.size), categorical)
        return Table(file, target, *self._targets(file, target, kind), categorical)

    def _chosen_columns(self, names: list[str], path: Path) -> tuple[str, str, set[str], list[str]]:
        """The options' target, its kind, the columns that are categories, and all that are
        wanted.
        """
        target = self._column(self.target, "target", names, path)
        categorical = {
            self._column(column, "categorical", names, path) for column in self.categorical
        }
        dropped = {self._column(column, "drop", names, path) for column in self.drop}
        wanted = [name for name in names if name not in dropped]
        if target in dropped:
            raise UserError(f"`data.drop` {target}: that is the target")
        if nameless := [name for name in wanted if name.startswith(UNNAMED)]:
            number = nameless[0].removeprefix(UNNAMED)
            raise UserError(
                f"{path}: column {number} has no name, often a saved row number: `data.drop` "
                f"[{number}] or name it"
            )
        return target, self.target_type, categorical, wanted

    def _fitted_columns(self, names: list[str], path: Path) -> tuple[str, str, set[str], list[str]]:
        """The same as they were in training."""
        target, categorical = self.preprocessing["target"], set(self.preprocessing["categories"])
        wanted = [target, *self.preprocessing["numbers"], *categorical]
        absent = [name for name in wanted if name not in names]
        if absent and not (absent == [target] and self.predicting):
            hint = (
                suggest(absent[0], names, "it has")
                if self.format.header
                else f"columns there: {len(names)}"
            )
            hint += "; predict does without the target" if absent == [target] else ""
            raise UserError(f"{path}: no column {absent[0]!r}, which the training had; {hint}")
        return target, self.preprocessing["spec"]["target"], categorical, wanted

    def _column(self, column: int | str, option: str, names: list[str], path: Path) -> str:
        return find(column, names, f"`data.{option}`", path, self.format)

    def _stand_ins(self, size: int) -> tuple[Tensor, list[str]]:
        """What stands in for targets that a file to predict does not have: the first class, or the
        mean.
        """
        if self.spec.target == "class":
            return torch.zeros(size, dtype=torch.int64), [self.spec.names[0]]
        return torch.full((size, 1), self.spec.scale[0][0]), []

    def _targets(self, file: CSVFile, name: str, kind: str) -> tuple[Tensor, list[str]]:
        """The targets of a whole file, and the labels that classes are places in."""
        column, shown = file.columns[name], f"the target {clip(name)!r}"
        if kind == "auto" and isinstance(column, Numbers) and column.whole:
            values = np.unique(column.values)
            some = ", ".join(f"{value:g}" for value in values[:5]) + ", ..." * (len(values) > 5)
            raise UserError(
                f"`data.target_type`: {shown} holds whole numbers ({some}): say class, number or "
                "count"
            )
        if kind == "auto" and isinstance(column, Texts):
            all_numbers(
                file,
                name,
                np.arange(file.size),
                "; if they are classes, say `data.target_type` class",
            )
        if kind in ("number", "count") or isinstance(column, Numbers):
            values = file.numbers(name)
            if np.isnan(values).any():
                raise file.fault(
                    int(np.isnan(values).argmax()),
                    f"{shown} is missing; complete the line or delete it",
                )
            if kind != "count":
                return torch.from_numpy(values.astype(np.float32)).unsqueeze(1), []
            if (no_count := (values < 0) | (values % 1 != 0)).any():
                row = int(no_count.argmax())
                raise file.fault(
                    row, f"{shown} is {values[row]:g}, a count is a whole number of 0 or more"
                )
            return torch.from_numpy(values.astype(np.int64)).unsqueeze(1), []
        if (column.codes < 0).any():
            raise file.fault(
                int(column.codes.argmin()), f"{shown} is missing; complete the line or delete it"
            )
        written = [text.removesuffix(self.label_suffix).strip() for text in column.texts]
        labels = sorted(set(written))
        with contextlib.suppress(ValueError):  # 10 comes after 9
            labels.sort(key=float)
        place = {label: i for i, label in enumerate(labels)}
        return torch.from_numpy(np.array([place[label] for label in written])[column.codes]), labels

    # ------------------------------------------------------------------ fitting

    def fit_preprocessing(self, train: Arrays | ItemDataset) -> dict[str, Any]:
        assert isinstance(train, Table)
        file, rows = train.file, train.rows.numpy()
        numbers: dict[str, dict[str, Any]] = {}
        categories: dict[str, list[str]] = {}
        for name, column in file.columns.items():
            if name == train.target:
                continue
            if isinstance(column, Texts) and (
                name in train.categorical or not all_numbers(file, name, rows, MIXED)
            ):
                categories[name] = frequent(column, rows, self.min_count)
            else:
                numbers[name] = fit_numbers(file.numbers(name, MISSING)[rows])
        useless = [name for name, texts in categories.items() if not texts]
        useless += [name for name, how in numbers.items() if how["mean"] is None]
        if useless:
            raise UserError(
                f"{file.path}: no value of {clip(', '.join(useless), 200)} occurs "
                f"{self.min_count} times in the training split, "
                f"so nothing can be learnt from it: `data.drop` '[{', '.join(useless)}]'"
            )
        preprocessing = {"target": train.target, "numbers": numbers, "categories": categories}
        return {"spec": self._spec(train, preprocessing).to_dict(), **preprocessing}

    def statistics(self, preprocessing: dict[str, Any]) -> dict[str, tuple[float, float]]:
        return {name: (how["mean"], how["std"]) for name, how in preprocessing["numbers"].items()}

    def _spec(self, train: Table, preprocessing: dict[str, Any]) -> DataSpec:
        numbers, categories = preprocessing["numbers"], preprocessing["categories"]
        indicators = [f"{name} is missing" for name, how in numbers.items() if how["indicator"]]
        columns = (*numbers, *indicators, *categories)
        if not columns:
            raise UserError(
                f"{train.file.path}: no column is left beside the target {train.target!r}"
            )
        table: dict[str, Any] = {
            "inputs": ((len(columns),),),
            "columns": columns,
            "cardinalities": tuple(len(texts) + 1 for texts in categories.values()),
        }
        assert isinstance(train.targets, Tensor)
        targets = train.targets[train.rows]
        if targets.ndim == 2:
            std, mean = torch.std_mean(targets.double(), correction=0)
            scale = ((mean.item(), max(std.item(), 1e-8)),)
            kind = "number" if targets.is_floating_point() else "count"
            return DataSpec(outputs=1, target=kind, names=(train.target,), scale=scale, **table)
        counts = torch.bincount(targets, minlength=len(train.labels)).tolist()
        names = {label: count for label, count in zip(train.labels, counts, strict=True) if count}
        if len(names) < 2 or 2 * len(names) > len(targets):
            classes = f"{len(names)} class" + "es" * (len(names) != 1)
            raise UserError(
                f"{train.file.path}: the target {train.target!r} has {classes} in {len(targets)} "
                "training rows; "
                "`data.target` names another column, `data.target_type` number predicts numbers"
            )
        return DataSpec(
            outputs=len(names),
            target="class",
            names=tuple(names),
            counts=tuple(names.values()),
            **table,
        )

    # ------------------------------------------------------------------ encoding

    def encode(self, part: Arrays | ItemDataset) -> Arrays:
        assert isinstance(part, Table)
        if not part.encoded:
            part.encoded.append(Arrays(self._inputs(part.file), self._encoded_targets(part)))
        return part.encoded[0].take(part.rows)

    def _inputs(self, file: CSVFile) -> Tensor:
        """The columns of a whole file as the network sees them: (N, columns) float32."""
        columns = np.empty((file.size, len(self.spec.columns)), np.float32)
        numbers, indicators = self.preprocessing["numbers"], []
        for i, (name, how) in enumerate(numbers.items()):
            values = file.numbers(name, MISSING)
            if how["indicator"]:
                indicators.append(np.isnan(values))
            columns[:, i] = np.nan_to_num((values - how["mean"]) / how["std"])
        for i, missing in enumerate(indicators, start=len(numbers)):
            columns[:, i] = missing
        for i, (name, texts) in enumerate(
            self.preprocessing["categories"].items(), start=len(numbers) + len(indicators)
        ):
            column = file.columns[name]
            assert isinstance(column, Texts)
            code = {text: code for code, text in enumerate(texts, start=1)}
            columns[:, i] = np.array([*(code.get(text, 0) for text in column.texts), 0])[
                column.codes
            ]
        return torch.from_numpy(columns)

    def _encoded_targets(self, part: Table) -> Tensor:
        """The targets of a whole file: (N,) int64 classes of the training split, or (N, 1) numbers
        or counts.
        """
        assert isinstance(part.targets, Tensor)
        if part.targets.ndim == 2:
            return part.targets
        classes = {label: i for i, label in enumerate(self.spec.names)}
        known = torch.tensor([classes.get(label, -1) for label in part.labels])[part.targets]
        if (known < 0).any():
            row = int(known.argmin())
            label = part.labels[int(part.targets[row])]
            ends = [label.removeprefix(name) for name in classes if label.startswith(name)]
            hint = (
                f"`data.label_suffix` {ends[0]!r} cuts the end off"
                if ends
                else suggest(label, classes, "there are")
            )
            raise part.file.fault(
                row,
                f"the label {clip(label)!r} is not among those of the training split; {hint}",
            )
        return known


# ---------------------------------------------------------------------- what is learnt of a column


def all_numbers(file: CSVFile, name: str, rows: np.ndarray, hint: str) -> bool:
    """Whether a column has nothing but numbers in these rows.

    Raises:
        UserError: nearly all are numbers, which is more likely a mistake.
    """
    column = file.columns[name]
    if isinstance(column, Numbers):
        return True
    known = column.codes[rows] >= 0
    wrong = known & np.isnan(column.numbers()[rows])
    if 0 < wrong.sum() <= (1 - MOSTLY) * known.sum():
        row = int(rows[wrong.argmax()])
        raise file.not_a_number(
            row, name, column.texts[column.codes[row]], f", but most of the column is{hint}"
        )
    return bool(known.any() and not wrong.any())


def frequent(column: Texts, rows: np.ndarray, min_count: int) -> list[str]:
    """The texts that occur in these rows so many times, in alphabetic order."""
    codes = column.codes[rows]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.texts))
    return sorted(
        text for text, count in zip(column.texts, counts, strict=True) if count >= min_count
    )


def fit_numbers(values: np.ndarray) -> dict[str, Any]:
    """Mean and deviation of the training rows, and whether some are missing: (N,) floats, NaN where
    missing.
    """
    present = values[~np.isnan(values)]
    if not len(present):
        return {"mean": None}
    return {
        "mean": float(present.mean()),
        "std": spread(present),
        "indicator": len(present) < len(values),
    }


def _existing(root: Path, name: str, option: str) -> Path:
    """The file of an option.

    Raises:
        UserError: it is not there; suggests what is.
    """
    path = root / name
    if path.is_file():
        return path
    if not path.parent.is_dir():
        raise UserError(
            f"`data.root` {root}: there is no folder {path.parent}, where {option} {name} should be"
        )
    near = suggest(
        path.name, [entry.name for entry in path.parent.iterdir() if entry.is_file()], "there are"
    )
    raise UserError(f"{option} {name}: there is no file {path}; {near}")


def spread(values: np.ndarray) -> float:
    """The standard deviation; 1 where it is nothing but the rounding of equal values."""
    std, size = float(values.std()), float(np.abs(values).max(initial=0.0))
    return std if std > 1e-12 * size else 1.0
