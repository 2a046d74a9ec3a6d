"""Tables: numbers scaled, texts as codes, one column to predict."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from project.engine import Arrays, DataModule, DataSpec, ItemDataset, UserError, clip, suggest
from project.engine.loading.columns import (
    Scale,
    all_numbers,
    fit_numbers,
    frame_of,
    frequent,
    is_date,
    is_gap,
    number_targets,
    places,
    scaled,
    spread,
    times,
)
from project.engine.loading.csvfile import CSVFile, Numbers, Texts
from project.engine.loading.csvoptions import ReadOptions, existing_file
from project.engine.loading.surprises import MISSING, MIXED, look_at
from project.engine.targets import unknown


class Table(Arrays):
    """The rows of a file before they are encoded.

    targets: (N,) places in `labels`, (N, 1) float32 numbers, or (N, 1) int64 counts.
    rows: those that are used; blank ones are not.
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
        rows: Tensor | None = None,
    ) -> None:
        super().__init__(torch.empty(file.size, 0), targets, rows)
        self.file, self.target, self.labels, self.categorical = file, target, labels, categorical
        self.encoded: list[Arrays] = []


class CSVTable(DataModule):
    """A CSV or Parquet file: classification or regression of one column.

    Numbers are scaled; a column with missing ones gets a second, which is 1 where it is
    missing. Texts become codes, which the MLP one-hot encodes or embeds; code 0 is for missing,
    rare and unseen ones.

    Args:
        file: The table, a path below root.
        test_file: The official test split; null holds out a share of the table.
        val_file: The validation split; null holds out a share of the table.
        target: The column to predict: its name, or its number from 0 (-1 is the last).
        target_type: class, number, or count (whole, 0 or more); auto takes texts for classes,
            numbers with a decimal point for numbers, and whole numbers for what the task is for.
        drop: Columns to leave out, by name or number.
        categorical: Columns of numbers that mean categories, such as postal codes.
        min_count: Texts rarer than this in the training split share the code of unseen ones.
        label_suffix: What is cut from the end of each class name.
        group: A column whose values must not be parted, such as a person: all rows of one are in
            one split or fold. It is no input.
        time: A column of dates or numbers: the latest rows are tested, those before validate, the
            past is trained on. It is no input.
        drop_unlabelled: Leave out rows whose target is missing.
        scale: Numbers by mean and deviation of the training rows (standard), or by their rank among
            them as normal scores, which outliers do not move (quantile).
        read: How the files are written, by the names of pandas.read_csv: sep, decimal, thousands,
            header (false: no line names the columns), encoding, comment, skiprows, na_values, ...
    """

    def __init__(
        self,
        file: str = "train.csv",
        test_file: str | None = None,
        val_file: str | None = None,
        target: str | int = "target",
        target_type: Literal["auto", "class", "number", "count"] = "auto",
        drop: Sequence[str | int] = (),
        categorical: Sequence[str | int] = (),
        min_count: PositiveInt = 2,
        label_suffix: str = "",
        drop_unlabelled: bool = False,
        group: str | int | None = None,
        time: str | int | None = None,
        scale: Scale = "standard",
        read: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.files = {"train": file, "val": val_file, "test": test_file}
        self.splits = [split for split, name in self.files.items() if name is not None]
        self.target, self.target_type, self.label_suffix = target, target_type, label_suffix
        self.drop, self.categorical, self.min_count = drop, categorical, min_count
        self.drop_unlabelled, self.read = drop_unlabelled, ReadOptions(read)
        self.group, self.time, self.scale = group, time, scale

    # ------------------------------------------------------------------ reading

    def load(self, split: str) -> Arrays:
        option = "`data.file`" if split == "train" else f"`data.{split}`_file"
        file = CSVFile(existing_file(self.root, str(self.files[split]), option), self.read)
        target, kind, categorical, wanted = (
            self._fitted_columns if self.preprocessing else self._chosen_columns
        )(file)
        skip = {*file.names} - {*wanted}
        apart = self._apart(file) if split == "train" else {}
        skip -= {*apart}
        file.read(categorical | {target} if kind == "class" else categorical, skip)
        found = {what: file.columns.pop(name) for name, what in apart.items()}
        if kind == "auto" and (guess := self._guess(file, target)):
            kind = guess
            if kind == "class":  # as they are written
                file = CSVFile(file.path, self.read).read(categorical | {target}, skip)
        look_at(file, target, categorical, kind, self.note, bool(self.preprocessing))
        rows = self._used_rows(file, target)
        targets, labels = torch.empty(0), list[str]()
        if self.preprocessing:  # stand-ins, for a file to predict that has none
            targets, labels = unknown(self.spec, file.size), [*self.spec.names[:1]]
        try:
            if target not in file.columns:
                self.targets_known = False
            else:
                read, names = self._targets(file, target, kind, rows)
                if self.predicting:
                    self._in_training(file, read, names, rows)
                targets, labels = read, names
        except UserError as error:
            if not (self.predicting and self.preprocessing):
                raise
            self.targets_known = False
            self.note(f"{error}; the predictions are written without targets")
        table = Table(file, target, targets, labels, categorical, torch.from_numpy(rows))
        if "group" in found:
            table.groups = torch.from_numpy(places(found["group"]))
        if "time" in found:
            table.times = torch.from_numpy(times(file, found["time"]))
        return table

    def _apart(self, file: CSVFile) -> dict[str, str]:
        """The columns that decide the splits and are no inputs, and what each is."""
        given = {"group": self.group, "time": self.time}
        return {
            file.find(column, f"`data.{what}`"): what
            for what, column in given.items()
            if column is not None
        }

    def _guess(self, file: CSVFile, target: str) -> str:
        """The kind of whole numbers, which may be any: what the task is for."""
        column = file.columns[target]
        if not (isinstance(column, Numbers) and column.whole and self.wanted_target):
            return ""
        self.note(
            f"the target {clip(target)!r} holds whole numbers, taken for {self.wanted_target} as "
            "the task asks; `data.target_type` says otherwise"
        )
        return self.wanted_target

    def _used_rows(self, file: CSVFile, target: str) -> np.ndarray:
        """The rows that are not blank, and have a target if those without are to be left out."""
        gaps = {name: is_gap(column) for name, column in file.columns.items()}
        used = ~np.logical_and.reduce(list(gaps.values()))
        if not used.all():
            self.note(f"{file.path}: {(~used).sum():,} rows without any value are left out")
        if self.drop_unlabelled and target in gaps and not self.predicting:
            if (without := used & gaps[target]).any():
                self.note(f"{file.path}: {without.sum():,} rows without a target are left out")
            used &= ~gaps[target]
        if not used.any():
            raise UserError(f"{file.path}: no row has a value to use")
        return used.nonzero()[0]

    def _chosen_columns(self, file: CSVFile) -> tuple[str, str, set[str], list[str]]:
        """The options' target, its kind, the columns that are categories, and all that are
        wanted.
        """
        target = file.find(self.target, "`data.target`")
        categorical = {file.find(column, "`data.categorical`") for column in self.categorical}
        dropped = {file.find(column, "`data.drop`") for column in self.drop}
        dropped |= {*self._apart(file)}
        wanted = [name for name in file.names if name not in dropped]
        if target in dropped:
            raise UserError(f"`data.drop` {target}: that is the target")
        file.refuse_nameless([name for name in wanted if name != target])
        return target, self.target_type, categorical, wanted

    def _fitted_columns(self, file: CSVFile) -> tuple[str, str, set[str], list[str]]:
        """The same as they were in training."""
        target, categorical = self.preprocessing["target"], set(self.preprocessing["categories"])
        wanted = [target, *self.preprocessing["numbers"], *categorical]
        absent = [name for name in wanted if name not in file.names]
        if absent and not (absent == [target] and self.predicting):
            hint = (
                suggest(absent[0], file.names, "it has")
                if self.read.header
                else f"columns there: {len(file.names)}"
            )
            hint += "; predict does without the target" if absent == [target] else ""
            raise UserError(f"{file.path}: no column {absent[0]!r}, which the training had; {hint}")
        return target, self.preprocessing["spec"]["target"], categorical, wanted

    def _targets(
        self, file: CSVFile, name: str, kind: str, rows: np.ndarray
    ) -> tuple[Tensor, list[str]]:
        """The targets of a whole file, and the labels that classes are places in."""
        column, shown = file.columns[name], f"the target {clip(name)!r}"
        if kind == "auto" and isinstance(column, Numbers) and column.whole:
            values = np.unique(column.values[rows])
            some = ", ".join(f"{value:g}" for value in values[:5]) + ", ..." * (len(values) > 5)
            raise UserError(
                f"`data.target_type`: {shown} holds whole numbers ({some}): say class, number or "
                "count"
            )
        if kind == "auto" and isinstance(column, Texts):
            all_numbers(file, name, rows, "; if they are classes, say `data.target_type` class")
        gaps = is_gap(column)
        if gaps[rows].any():
            row = int(rows[gaps[rows].argmax()])
            marks = [mark for mark in getattr(column, "marks", {}) if mark.isalpha()]
            keep = (
                f"; if {marks[0]!r} is a class, `data.read.keep_default_na` false keeps it"
                if marks
                else ""
            )
            raise file.fault(
                row,
                f"{shown} is missing; complete the line or delete it; `data.drop_unlabelled` true "
                f"leaves such rows out{keep}",
            )
        if kind in ("number", "count") or isinstance(column, Numbers):
            values = file.numbers(name)
            targets = number_targets(
                values, rows, kind, lambda row, reason: file.fault(row, f"{shown} {reason}")
            )
            return targets, []
        written = [text.removesuffix(self.label_suffix).strip() for text in column.texts]
        labels = sorted(set(written))
        with contextlib.suppress(ValueError):  # 10 comes after 9
            labels.sort(key=float)
        place = {label: i for i, label in enumerate(labels)}
        places = np.array([*(place[label] for label in written), 0])
        return torch.from_numpy(places[column.codes]), labels

    # ------------------------------------------------------------------ fitting

    learnt = ("spec", "target", "numbers", "categories")

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
                numbers[name] = fit_numbers(file.numbers(name, MISSING)[rows], self.scale)
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
        if not numbers and len(categories) == 1 and is_date(next(iter(categories.values()))):
            raise UserError(
                f"{train.file.path}: a date is the only column beside the target "
                f"{train.target!r}: series are not served; add columns that tell the rows apart, "
                "such as month, weekday or earlier values"
            )
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
            numbers = targets.double().numpy()
            scale = ((float(numbers.mean()), spread(numbers)),)
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
            columns[:, i] = np.nan_to_num(scaled(values, how))
        for i, missing in enumerate(indicators, start=len(numbers)):
            columns[:, i] = missing
        for i, (name, texts) in enumerate(
            self.preprocessing["categories"].items(), start=len(numbers) + len(indicators)
        ):
            column = file.columns[name]
            assert isinstance(column, Texts)
            code = {text: code for code, text in enumerate(texts, start=1)}
            places = [code.get(text, 0) for text in column.texts]
            if texts and column.texts and not any(places):
                self.note(
                    f"{file.path}: no value of column {clip(name)!r} occurs in the training split; "
                    f"it has {clip(column.texts[0])!r}, the training {clip(texts[0])!r}"
                )
            columns[:, i] = np.array([*places, 0])[column.codes]
        return torch.from_numpy(columns)

    def accept(self, inputs: Any) -> tuple[Tensor, bool]:
        """Rows as `frame_of` takes them, encoded: (N, columns), and whether it was one alone."""
        frame, single = frame_of(inputs)
        file = CSVFile.of(frame, self.read)
        wanted, texts = self._wanted(file)
        file.read(texts, {*file.names} - {*wanted})
        look_at(file, "", texts, "", self.note, fitted=True)
        return self._inputs(file), single

    def accept_file(self, path: Path, rows: int) -> Iterator[Tensor]:
        file = CSVFile(path, self.read)
        wanted, texts = self._wanted(file)
        for part in file.blocks(wanted, texts, rows):
            look_at(part, "", texts, "", self.note, fitted=True)
            yield self._inputs(part)

    def _wanted(self, file: CSVFile) -> tuple[list[str], set[str]]:
        """The columns that new rows need, and those of them that are texts."""
        texts = {*self.preprocessing["categories"]}
        wanted = [*self.preprocessing["numbers"], *self.preprocessing["categories"]]
        if missing := [name for name in wanted if name not in file.names]:
            raise UserError(
                f"{file.path}: no column {missing[0]!r}, which the training had; "
                f"{suggest(missing[0], file.names, 'there are')}"
            )
        return wanted, texts

    def _encoded_targets(self, part: Table) -> Tensor:
        """The targets of a whole file: (N,) int64 classes of the training split, or (N, 1) numbers
        or counts.
        """
        assert isinstance(part.targets, Tensor)
        if part.targets.ndim == 2:
            return part.targets
        return self._in_training(part.file, part.targets, part.labels, part.rows.numpy())

    def _in_training(
        self, file: CSVFile, targets: Tensor, labels: Sequence[str], rows: np.ndarray
    ) -> Tensor:
        """Places in `labels` as class numbers of the training split: (N,) int64.

        Raises:
            UserError: a label of these rows is not among them.
        """
        if targets.ndim == 2:
            return targets
        classes = {label: i for i, label in enumerate(self.spec.names)}
        known = torch.tensor([classes.get(label, -1) for label in labels])[targets]
        if (wrong := known[rows] < 0).any():
            row = int(rows[int(wrong.int().argmax())])
            label = labels[int(targets[row])]
            ends = [label.removeprefix(name) for name in classes if label.startswith(name)]
            hint = (
                f"`data.label_suffix` {ends[0]!r} cuts the end off"
                if ends
                else suggest(label, classes, "there are")
            )
            raise file.fault(
                row,
                f"the label {clip(label)!r} is not among those of the training split; {hint}",
            )
        return known
