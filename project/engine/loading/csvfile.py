"""Tables in files, read by pandas; a faulty one is read a second time to say in which line."""

from __future__ import annotations

import codecs
import contextlib
import copy
import csv
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError, clip, suggest
from .csvlines import Lines
from .csvoptions import ReadOptions, composed, read_parquet

if TYPE_CHECKING:
    import pandas as pd

UNNAMED = "unnamed "  # and its number: a column whose header is empty


@dataclass
class Numbers:
    """A column of numbers: (N,) float64, NaN where missing; `whole` if all are whole numbers."""

    values: np.ndarray
    whole: bool


@dataclass
class Texts:
    """A column of texts: (N,) int32 codes, which are places in `texts`, -1 where missing."""

    codes: np.ndarray
    texts: list[str]
    marks: dict[str, int]  # texts that were taken for missing, and how often

    def numbers(self, how: ReadOptions) -> np.ndarray:
        """The texts read as numbers: (N,) float64, NaN where one is missing or is no number."""
        found = (how.number(text) for text in self.texts)
        values = [np.nan if number is None else number for number in found]
        return np.array([*values, np.nan])[self.codes]  # the last is for code -1


class CSVFile(Lines):
    """A table in a file: its `names` once it is made, its columns once it is read.

    Raises:
        UserError: the file is not there, is no table, or names two columns alike.
    """

    def __init__(self, path: Path, how: ReadOptions) -> None:
        self.path, self.how, self.size = path, how, 0
        self.columns: dict[str, Numbers | Texts] = {}
        self.notes: list[str] = []
        self.skipped = int(how.get("skiprows", 0))
        self.sep = how.sep
        self.in_memory = path.suffix.lower() in (".parquet", ".pq")
        if self.in_memory:
            self.frame = read_parquet(path)
            self.names = [str(name) for name in self.frame.columns]
            return
        try:
            with self._open() as file:
                first = next(itertools.islice(file, self.skipped, None), "")
            # what Excel writes where the separator is not that of the country
            if (mark := re.fullmatch(r'\ufeff?"?sep=(.)"?\s*', first)) and "sep" not in how.given:
                self.sep, self.skipped = mark[1], self.skipped + 1
                self.notes.append(f"{path}: its first line says that {mark[1]!r} is the separator")
            fields = next((fields for _, fields in self.records()), None)
        except UnicodeDecodeError:
            self.find_fault(None)
            raise
        if fields is None:
            raise UserError(f"{path}: the file is empty")
        self.names = [str(i) for i in range(len(fields))]
        if how.header:
            self.names = [composed(f.strip()) or f"{UNNAMED}{i}" for i, f in enumerate(fields)]
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            raise UserError(
                f"{path}: the header has {clip(name)!r} {times} times: rename one{self.advice()}"
            )

    @classmethod
    def of(cls, frame: pd.DataFrame, how: ReadOptions) -> CSVFile:
        """A table in memory, read like a file."""
        file = cls.__new__(cls)
        file.path, file.how, file.size, file.skipped = Path("the rows"), how, 0, 0
        file.columns, file.notes, file.sep, file.in_memory = {}, [], how.sep, True
        file.frame, file.names = frame, [str(name) for name in frame.columns]
        return file

    # ------------------------------------------------------------------ columns

    def find(self, column: int | str, option: str) -> str:
        """The column of this name or number, -1 being the last.

        Raises:
            UserError: there is none; suggests the nearest names.
        """
        text = composed(str(column))
        if text in self.names:
            return text
        if re.fullmatch(r"-?[0-9]{1,9}", text) and -len(self.names) <= int(text) < len(self.names):
            return self.names[int(text)]
        hint = self.advice() or f"; {suggest(text, self.names, 'it has')}"
        raise UserError(f"{option} {column}: {self.path} has no such column{hint}")

    def refuse_nameless(self, wanted: Sequence[str]) -> None:
        """Refuse inputs without a name, which are often saved row numbers.

        Raises:
            UserError: names the place and both ways out.
        """
        nameless = (name for name in wanted if re.match(f"(?i){UNNAMED}|unnamed: ", name))
        if (name := next(nameless, None)) is not None:
            number = self.names.index(name)
            raise UserError(
                f"{self.path}: column {number} has no name, often a saved row number: `data.drop` "
                f"[{number}] or name it"
            )

    def advice(self) -> str:
        """What a header looks like that is none."""
        names, option = self.names, self.how.option
        if len(names) == 1:
            marks = {";": "';'", "\t": "'tab'", "|": "'|'", ",": "','", " ": r"'\s+'"}
            other = next((shown for mark, shown in marks.items() if mark in names[0]), None)
            is_it = f": is it `{option}.sep` {other}?" if other else ""
            return f"; it has one column, {clip(names[0])!r}{is_it}"
        if not self.how.header and not self.in_memory:
            return (
                f"; without a header they are the numbers 0 to {len(names) - 1}: `{option}.header` "
                "true takes names from the first line"
            )
        if any(self.how.number(name) is not None for name in names):
            return (
                f"; its first line is {clip(', '.join(names))!r}: if that is data, say "
                f"`{option}.header` false"
            )
        return ""

    def read(
        self, texts: Collection[str] = (), skip: Collection[str] = (), may_be_empty: bool = False
    ) -> CSVFile:
        """Read the columns, as numbers where every value is one, otherwise as texts.

        Args:
            texts: Columns that are texts even if they look like numbers.
            skip: Columns that are not wanted.

        Raises:
            UserError: a line has too many or too few fields, is badly quoted or badly encoded.
        """
        wanted = [name for name in self.names if name not in skip]
        if self.in_memory:
            self.size = len(self.frame)
            self.columns = {
                name: self._converted(self.frame[name], name in texts) for name in wanted
            }
        else:
            try:
                self._parse(wanted, texts)
            except (ValueError, Warning, csv.Error) as error:  # pandas' errors are ValueErrors
                self.find_fault(len(self.names))
                raise UserError(f"{self.path}: pandas cannot read it: {clip(error, 200)}") from None
        if not self.size and not may_be_empty:
            raise UserError(f"{self.path}: no rows, only a header")
        return self

    def blocks(self, wanted: Sequence[str], texts: Collection[str], rows: int) -> Iterator[CSVFile]:
        """The columns of so many rows at a time, so that memory stays flat; to read once.

        Raises:
            UserError: a line has too many fields, is badly quoted or badly encoded.
        """
        frames: Any
        if self.in_memory:
            slices = (self.frame[at : at + rows] for at in range(0, len(self.frame), rows))
            frames = contextlib.nullcontext(slices)
        else:
            frames = self._frame(list(wanted), dict.fromkeys(texts, "str"), texts, block=rows)
        try:
            with frames as read:
                for frame in read:
                    yield self._block(frame, wanted, texts)
        except (ValueError, Warning, csv.Error) as error:
            self.find_fault(len(self.names))
            raise UserError(f"{self.path}: pandas cannot read it: {clip(error, 200)}") from None
        if not self.size:
            raise UserError(f"{self.path}: no rows, only a header")

    def _block(self, frame: pd.DataFrame, wanted: Sequence[str], texts: Collection[str]) -> CSVFile:
        """The next rows of `blocks`, read."""
        part = copy.copy(self)
        part.before, part.size = self.size, len(frame)
        self.size += len(frame)
        part.columns = {name: self._converted(frame[name], name in texts) for name in wanted}
        return part

    def _parse(self, wanted: list[str], texts: Collection[str]) -> None:
        """The wanted columns, those found to mix numbers and texts a second time as texts."""
        sample = self._frame(self.names, {}, (), nrows=1000)
        odd = {name for name in self.names if sample[name].dtype.kind not in "iuf"}
        kinds = {name: "str" for name in texts if name not in odd}
        kinds |= dict.fromkeys({*self.names} - {*wanted}, "category")  # which holds the least
        frame = self._frame(self.names, kinds, odd | {*kinds})
        self.size, last = len(frame), frame[self.names[-1]]
        gaps = bool(last.isna().any() or (last == "").any())
        mixed: dict[str, str] = {}
        for name in wanted:
            part = frame.pop(name)
            if name not in kinds and part.dtype.kind in "iuf":
                self.columns[name] = _numbers(part.to_numpy())
            elif part.dtype == "str":
                self.columns[name] = _coded(part, self.how, name in texts)
            else:  # numbers and then texts, or, which pandas turns into numbers, the reverse
                mixed[name] = "str"
        if mixed:
            frame = self._frame([name for name in wanted if name in mixed], mixed, mixed)
            for name in mixed:
                self.columns[name] = _coded(frame.pop(name), self.how, name in texts)
            self.columns = {name: self.columns[name] for name in wanted}
        torn = (c for c in self.columns.values() if isinstance(c, Texts))
        if (gaps and self._may_be_short()) or any("\n" in t for c in torn for t in c.texts):
            self.find_fault(len(self.names))

    def _frame(
        self,
        wanted: list[str],
        kinds: dict[str, str],
        texts: Collection[str],
        nrows: int | None = None,
        block: int | None = None,
    ) -> Any:
        """Some columns; without a kind as their values look; in `texts` nothing is missing; with a
        `block`, so many rows at a time.
        """
        import warnings

        import pandas as pd

        how = self.how
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # mixed columns are looked for
            # it drops what a line has too much, and says so
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                str(self.path.absolute()),  # never an address
                engine="c",
                sep=self.sep,
                names=self.names,
                header=0 if how.header else None,
                # with it, lines that are too long pass
                usecols=None if len(wanted) == len(self.names) else wanted,
                index_col=False,
                dtype=kinds,
                # texts are compared when they are stripped
                na_values={n: [] if n in texts else sorted(how.marks) for n in wanted},
                keep_default_na=False,
                skipinitialspace=self._has_blanks,
                skiprows=self.skipped,
                encoding=how.encoding,
                comment=how.comment,
                decimal=how.decimal,
                thousands=how.thousands,
                quotechar=how.get("quotechar", '"'),
                escapechar=how.get("escapechar"),
                doublequote=how.get("doublequote", True),
                nrows=min(filter(None, (nrows, how.get("nrows"))), default=None),
                compression=None,
                chunksize=block,
            )

    @cached_property
    def _has_blanks(self) -> bool:
        """Whether blanks may follow a separator: to skip them takes pandas half as long again."""
        is_utf8 = codecs.lookup(self.how.encoding).name.startswith("utf-8")
        if self.sep == r"\s+" or not is_utf8:
            return True
        mark, end = f"{self.sep} ".encode(), b""
        with open(self.path, "rb") as file:
            while block := file.read(2**20):
                if b" " in block and (mark in end + block[:1] or mark in block):
                    return True
                end = block[-1:]
        return False

    def _converted(self, values: pd.Series[Any], is_text: bool) -> Numbers | Texts:
        """A column of a frame."""
        kind = getattr(values.dtype, "kind", "O")
        if kind in "iuf" and not is_text:
            return _numbers(values.to_numpy(np.float64, na_value=np.nan))
        return _coded(values.astype("str").where(values.notna(), ""), self.how, is_text)

    # ------------------------------------------------------------------ values

    def texts(self, name: str) -> list[str]:
        """A column of texts as they are written, "" where missing."""
        column = self.columns.get(name)
        return [(*column.texts, "")[c] for c in column.codes] if isinstance(column, Texts) else []

    def numbers(self, name: str, hint: str = "") -> np.ndarray:
        """A column as numbers: (N,) float64, NaN where missing.

        Raises:
            UserError: one is no number, or infinite; names the line.
        """
        column = self.columns[name]
        values = column.values if isinstance(column, Numbers) else column.numbers(self.how)
        wrong = np.isinf(values)
        if isinstance(column, Texts):
            wrong |= np.isnan(values) & (column.codes >= 0)
        if wrong.any():
            row = int(wrong.argmax())
            value = (
                column.texts[column.codes[row]] if isinstance(column, Texts) else float(values[row])
            )
            raise self.not_a_number(row, name, value, hint)
        return values

    def not_a_number(self, row: int, name: str, value: str | float, hint: str) -> UserError:
        """The fault of a value that should be a finite number."""
        if row == 0 and not self.how.header:
            hint = f"; if this line names the columns, say `{self.how.option}.header` true"
        what = "infinite" if isinstance(value, float) else "not a number"
        return self.fault(row, f"{clip(value)!r} in column {clip(name)!r} is {what}{hint}")


def _numbers(values: np.ndarray) -> Numbers:
    """A column of numbers; floats are whole numbers where some are missing and the rest whole."""
    whole = values.dtype.kind != "f"
    if not whole and (gaps := np.isnan(values)).any():
        whole = bool((np.floor(values[~gaps]) == values[~gaps]).all())
    return Numbers(values.astype(np.float64, copy=False), whole)


def _coded(part: pd.Series[Any], how: ReadOptions, is_text: bool) -> Numbers | Texts:
    """A column of texts, blanks around them not counting; numbers after all where all are."""
    part = part.astype("category")
    codes = part.cat.codes.to_numpy()
    counts = np.bincount(codes[codes >= 0], minlength=len(part.cat.categories)).tolist()
    places, marks, move = dict[str, int](), Counter[str](), list[int]()
    for written, count in zip(part.cat.categories, counts, strict=True):
        text = composed(str(written).strip())
        missing = how.is_missing(text)
        move.append(-1 if missing else places.setdefault(text, len(places)))
        if missing and text:
            marks[text] += count
    column = Texts(np.array([*move, -1], np.int32)[codes], list(places), dict(marks))
    if is_text or not places or any(how.number(text) is None for text in places):
        return column
    return Numbers(column.numbers(how), not any(mark in text for text in places for mark in ".eE"))
