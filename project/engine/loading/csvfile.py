"""CSV files, read column by column.

The good case is fast; a wrong file is read again to say in which line.
"""

from __future__ import annotations

import codecs
import csv
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..errors import UserError, clip, suggest

# rows turned into columns at a time: they stay in the cache, eight times as many take three times
# as long
CHUNK = 512
UNNAMED = "unnamed "  # and its number: a column whose header is empty


@dataclass(frozen=True)
class Format:
    """How a file is written.

    separator: the character between fields; spaces behind it are ignored.
    header: the first line names the columns; otherwise they are called 0, 1, 2, ...
    comment: lines that begin with this are skipped.
    encoding: of the characters; a byte order mark of UTF-8 is ignored.
    missing: texts that mean a missing value, besides the empty one.
    """

    separator: str = ","
    header: bool = True
    comment: str | None = None
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()


@dataclass
class Numbers:
    """A column of numbers: (N,) float64, NaN where missing; `whole` if none is written with a point
    or an exponent.
    """

    values: np.ndarray
    whole: bool


@dataclass
class Texts:
    """A column of texts: (N,) int32 codes, which are places in `texts`, -1 where missing."""

    codes: np.ndarray
    texts: list[str]

    def numbers(self) -> np.ndarray:
        """The texts read as numbers: (N,) float64, NaN where one is missing or is no number."""
        return np.array([*map(_number, self.texts), np.nan])[self.codes]  # the last is for code -1


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


@dataclass
class CSVFile:
    """A file in memory: its columns by name, each with a value for every row."""

    path: Path
    format: Format
    columns: dict[str, Numbers | Texts]
    size: int

    def numbers(self, name: str, hint: str = "") -> np.ndarray:
        """A column as numbers: (N,) float64, NaN where missing.

        Raises:
            UserError: one is no number, or infinite; names the line.
        """
        column = self.columns[name]
        values = column.numbers() if isinstance(column, Texts) else column.values
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
        if row == 0 and not self.format.header:
            hint = "; if this line names the columns, say `data.header` true"
        what = "infinite" if isinstance(value, float) else "not a number"
        return self.fault(row, f"{clip(value)!r} in column {clip(name)!r} is {what}{hint}")

    def fault(self, row: int, reason: str) -> UserError:
        """What is wrong in a row, with its line in the file."""
        lines = (line for line, _ in records(self.path, self.format))
        line = next(itertools.islice(lines, row + self.format.header, None))
        return UserError(f"{self.path}:{line}: {reason}")


# ---------------------------------------------------------------------- reading


def read(
    path: Path, format: Format, texts: Collection[str] = (), skip: Collection[str] = ()
) -> CSVFile:
    """A file, its columns as numbers where every value is one, otherwise as texts.

    Args:
        texts: Columns that are texts even if they look like numbers.
        skip: Columns that are not wanted.

    Raises:
        UserError: the file is not there or not a table; names the line.
    """
    names = header(path, format)
    try:
        columns, size = _read_columns(path, format, names, set(texts), set(skip))
        mixed = {name for name, column in columns.items() if column.mixed}
        # numbers at first and texts further down: what was read as numbers is wanted as it is
        # written
        if mixed:
            columns, size = _read_columns(path, format, names, {*texts, *mixed}, set(skip))
    except (ValueError, csv.Error):
        _find_fault(path, format, len(names))
        raise
    if not size:
        raise UserError(f"{path}: no rows, only a header")
    return CSVFile(
        path, format, {name: column.finished() for name, column in columns.items()}, size
    )


def header(path: Path, format: Format) -> list[str]:
    """The names of the columns.

    Raises:
        UserError: there is no line, or a name stands twice.
    """
    try:
        first = next((fields for _, fields in records(path, format)), None)
    except UnicodeDecodeError:
        _find_fault(path, format, None)
        raise
    if first is None:
        raise UserError(f"{path}: the file is empty")
    if not format.header:
        return [str(i) for i in range(len(first))]
    names = [name.strip() or f"{UNNAMED}{i}" for i, name in enumerate(first)]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(
            f"{path}: the header has {clip(name)!r} {times} times: rename one"
            f"{advice(names, format)}"
        )
    return names


def find(column: int | str, names: list[str], option: str, path: Path, format: Format) -> str:
    """The column of this name or number, -1 being the last.

    Raises:
        UserError: there is none; suggests the nearest names.
    """
    if str(column) in names:
        return str(column)
    if str(column).removeprefix("-").isdecimal() and -len(names) <= int(column) < len(names):
        return names[int(column)]
    hint = advice(names, format) or f"; {suggest(str(column), names, 'it has')}"
    raise UserError(f"{option} {column}: {path} has no such column{hint}")


def advice(names: list[str], format: Format) -> str:
    """What a header looks like that is none."""
    if len(names) == 1:
        other = next((mark for mark in ";\t|," if mark in names[0]), None)
        shown = "tab" if other == "\t" else other
        return f"; it has one column, {clip(names[0])!r}" + (
            f": is it `data.separator` {shown!r}?" if other else ""
        )
    if not format.header:
        return (
            f"; without a header they are the numbers 0 to {len(names) - 1}: `data.header` true "
            "takes names from the first line"
        )
    if any(not np.isnan(_number(name)) for name in names):
        return (
            f"; its first line is {clip(', '.join(names))!r}: if that is data, say `data.header` "
            "false"
        )
    return ""


class _Column:
    """A column while it is read: parts of numbers, or codes of texts once a value is no number."""

    def __init__(self, missing: Collection[str], is_text: bool) -> None:
        self.missing, self.is_text, self.mixed, self.whole = missing, is_text, False, True
        self.parts: list[np.ndarray] = []
        self.codes = _Codes(missing)

    def add(self, values: tuple[str, ...]) -> None:
        if not self.is_text:
            try:
                self.parts.append(self._numbers(values))
                return
            except ValueError:
                self.is_text, self.mixed = True, bool(self.parts)
        self.parts.append(np.fromiter(map(self.codes.__getitem__, values), np.int32, len(values)))

    def _numbers(self, values: tuple[str, ...]) -> np.ndarray:
        try:
            numbers = np.fromiter(map(float, values), np.float64, len(values))
        except ValueError:
            stripped = (value.strip() for value in values)
            numbers = np.array(
                [np.nan if value in self.missing else float(value) for value in stripped]
            )
        if self.whole:
            joined = "".join(values)
            self.whole = not any(mark in joined for mark in ".eE")
        return numbers

    def finished(self) -> Numbers | Texts:
        parts = np.concatenate(self.parts)
        return Texts(parts, self.codes.texts) if self.is_text else Numbers(parts, self.whole)


class _Codes(dict[str, int]):
    """A number for every text, given when it is first asked for: spaces around it do not count, -1
    is missing.
    """

    def __init__(self, missing: Collection[str]) -> None:
        self.texts: list[str] = []
        self.known = dict.fromkeys(missing, -1)

    def __missing__(self, written: str) -> int:
        text = written.strip()
        if text not in self.known:
            self.known[text] = len(self.texts)
            self.texts.append(text)
        self[written] = self.known[text]
        return self[written]


def _read_columns(
    path: Path, format: Format, names: list[str], texts: Collection[str], skip: Collection[str]
) -> tuple[dict[str, _Column], int]:
    """All columns that are wanted, and how many rows there are."""
    missing = frozenset({"", *format.missing})
    columns = {name: _Column(missing, name in texts) for name in names if name not in skip}
    size = 0
    with _open(path, format) as file:
        rows = filter(_is_record, _reader(file, format))
        for _ in range(format.header):
            next(rows)
        while chunk := list(itertools.islice(rows, CHUNK)):
            size += len(chunk)
            for name, values in zip(names, zip(*chunk, strict=True), strict=True):
                if name in columns:
                    columns[name].add(values)
    return columns, size


# ---------------------------------------------------------------------- lines


def records(path: Path, format: Format) -> Iterator[tuple[int, list[str]]]:
    """The records of a file, the header among them, each with the line it begins in; slower than
    reading columns.

    Raises:
        UserError: a quote is not closed.
    """
    with _open(path, format) as file:
        reader = _reader(file, format)
        line = 1
        try:
            for fields in reader:
                if _is_record(fields):
                    yield line, fields
                line = reader.line_num + 1
        except csv.Error as error:
            raise UserError(
                f"{path}:{line}: a quote in this line is not closed, or not doubled ({error})"
            ) from None


def _find_fault(path: Path, format: Format, width: int | None) -> None:
    """Read a file that could not be read, and say in which line it is wrong."""
    try:
        for line, fields in records(path, format):
            if width is not None and len(fields) != width:
                where = "header" if format.header else "first line"
                quote = (
                    "; a quote in this line is not closed?"
                    if any("\n" in field for field in fields)
                    else ""
                )
                raise UserError(
                    f"{path}:{line}: {_count(len(fields))} separated by {format.separator!r}, "
                    f"the {where} has {width}{quote}"
                )
    except UnicodeDecodeError:
        with open(path, "rb") as file:
            for line, raw in enumerate(file, start=1):
                try:
                    raw.decode(format.encoding)
                except UnicodeDecodeError as error:
                    shown = raw[max(0, error.start - 8) : error.end + 8].decode("latin-1").strip()
                    raise UserError(
                        f"{path}:{line}: {shown!r} is not {format.encoding}; "
                        "save the file as UTF-8, or name its encoding, for example "
                        "`data.encoding` latin-1"
                    ) from None


def _count(fields: int) -> str:
    return f"{fields} field" + "s" * (fields != 1)


def _is_record(fields: list[str]) -> bool:
    """Whether a line is more than a blank."""
    return len(fields) > 1 or bool(fields and fields[0].strip())


def _reader(file: Iterable[str], format: Format) -> Any:
    if mark := format.comment:
        file = (
            "\n" if line.startswith(mark) else line for line in file
        )  # blank, so that lines are still counted
    try:
        return csv.reader(file, delimiter=format.separator, skipinitialspace=True, strict=True)
    except (TypeError, ValueError):
        raise UserError(
            f"`data.separator` {format.separator!r}: expected one character, or tab"
        ) from None


def _open(path: Path, format: Format) -> TextIO:
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
        is_utf8 = codecs.lookup(format.encoding).name == "utf-8"
        if is_utf8 and (
            head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head
        ):
            raise UserError(
                f"{path}: not UTF-8 text; if it is UTF-16, say `data.encoding` utf-16, or save "
                "it as UTF-8"
            )
        return open(path, newline="", encoding="utf-8-sig" if is_utf8 else format.encoding)
    except LookupError:
        raise UserError(
            f"`data.encoding` {format.encoding}: unknown; known are utf-8, latin-1, cp1252, "
            "utf-16, ..."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
