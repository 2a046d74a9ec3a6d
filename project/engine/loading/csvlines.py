"""The lines of a table in a file, read one by one to say in which of them it is wrong."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TextIO

from ..errors import UserError
from .csvoptions import COMPRESSED, ReadOptions


class Lines:
    """A file, how it is written, and where its rows stand.

    path, how: The file and how it is written.
    sep, skipped: What separates fields, and the lines before the first record.
    in_memory: Whether its rows are not lines of text.
    before: Rows of the file before those of this part.
    """

    path: Path
    how: ReadOptions
    sep: str
    skipped: int
    in_memory: bool
    names: list[str]
    size: int
    before = 0

    def fault(self, row: int, reason: str) -> UserError:
        """What is wrong in a row, with its line in the file."""
        return UserError(f"{self.where(row)}: {reason}")

    def where(self, row: int) -> str:
        """A row as file:line."""
        row += self.before
        return f"{self.path}:{row + 1 if self.in_memory else self.lines[row + self.how.header]}"

    @cached_property
    def lines(self) -> list[int]:
        """The line each record begins in, the header among them; reads the file again."""
        return [line for line, _ in self.records()]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The records of a file, each with the line it begins in; slower than reading columns.

        Raises:
            UserError: a quote is not closed.
        """
        how, mixed = self.how, self.sep == r"\s+"
        marks = {"quotechar": how.get("quotechar", '"'), "escapechar": how.get("escapechar")}
        with self._open() as file:
            kept = (self._plain(line) for line in itertools.islice(file, self.skipped, None))
            reader = csv.reader(
                (re.sub(r"[ \t]+", " ", line.strip(" \t")) for line in kept) if mixed else kept,
                delimiter=" " if mixed else self.sep,
                doublequote=how.get("doublequote", True),
                skipinitialspace=True,
                strict=True,
                **marks,
            )
            line = self.skipped + 1
            try:
                for fields in reader:
                    if len(fields) > 1 or (fields and fields[0].strip()):
                        yield line, fields[: -1 if mixed and not fields[-1].strip() else None]
                    line = self.skipped + reader.line_num + 1
            except csv.Error as error:
                raise UserError(
                    f"{self.path}:{line}: a quote in this line is not closed, or not doubled "
                    f"({error})"
                ) from None

    def _plain(self, line: str) -> str:
        """A line without its comment; a blank one stays, so that lines are still counted."""
        start = line.find(self.how.comment) if self.how.comment else -1
        return line if start < 0 or line.count('"', 0, start) % 2 else line[:start] + "\n"

    def find_fault(self, width: int | None) -> None:
        """Read a file that could not be read, and say in which line it is wrong."""
        try:
            for line, fields in self.records():
                if width is not None and len(fields) != width:
                    where = "header" if self.how.header else "first line"
                    count = f"{len(fields)} field" + "s" * (len(fields) != 1)
                    torn = any("\n" in field for field in fields)
                    quote = "; a quote in this line is not closed?" if torn else ""
                    raise UserError(
                        f"{self.path}:{line}: {count} separated by {self.sep!r}, "
                        f"the {where} has {width}{quote}"
                    )
        except UnicodeDecodeError:
            with open(self.path, "rb") as file:
                for line, raw in enumerate(file, start=1):
                    try:
                        raw.decode(self.how.encoding)
                    except UnicodeDecodeError as error:
                        shown = raw[max(0, error.start - 8) : error.end + 8].decode("latin-1")
                        raise UserError(
                            f"{self.path}:{line}: {shown.strip()!r} is not {self.how.encoding}; "
                            "save the file as UTF-8, or name its encoding, for example "
                            f"`{self.how.option}.encoding` latin-1"
                        ) from None

    def _may_be_short(self) -> bool:
        """Whether lines may lack fields: by the separators in the file, where those tell."""
        if len(self.names) == 1:
            return False
        if self.sep == r"\s+" or self.how.comment or self.skipped or self.how.get("nrows"):
            return True
        count, sep = 0, self.sep.encode()
        with open(self.path, "rb") as file:
            while block := file.read(2**20):
                if b'"' in block:
                    return True
                count += block.count(sep)
        return count != (self.size + self.how.header) * (len(self.names) - 1)

    def _open(self) -> TextIO:
        """The file as text.

        Raises:
            UserError: it is not there, is compressed, or is not in this encoding.
        """
        path, option, encoding = self.path, self.how.option, self.how.encoding
        try:
            with open(path, "rb") as file:
                head = file.read(4096)
            for magic, kind in COMPRESSED.items():
                if head.startswith(magic):
                    raise UserError(f"{path}: a {kind} file; unpack it or save it as CSV")
            is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
            if is_utf8 and (head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head):
                raise UserError(
                    f"{path}: not UTF-8 text; if it is UTF-16, say `{option}.encoding` utf-16, or "
                    "save it as UTF-8"
                )
            return open(path, newline="", encoding="utf-8-sig" if is_utf8 else encoding)
        except LookupError:
            raise UserError(
                f"`{option}.encoding` {encoding}: unknown; known are utf-8, latin-1, cp1252, "
                "utf-16, ..."
            ) from None
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
