"""Rows of a table written as they come: CSV, JSON lines or Parquet, by the ending of the file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import UserError, needed
from .files import csv_line, csv_lines, disk_errors


class Writer(Protocol):
    """Takes blocks of rows, by column; every block has the same columns."""

    def __init__(self, path: Path) -> None: ...

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None: ...

    def close(self) -> None: ...


class CSVWriter:
    def __init__(self, path: Path) -> None:
        self.file, self.begun = open(path, "wb"), False  # noqa: SIM115 - closed by `close`

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        if not self.begun:
            self.file.write(csv_line(list(columns)))
            self.begun = True
        self.file.write(csv_lines(columns.values()))

    def close(self) -> None:
        self.file.close()


class JSONLines:
    def __init__(self, path: Path) -> None:
        self.file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        for row in zip(*columns.values(), strict=True):
            line = json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
            self.file.write(f"{line}\n")

    def close(self) -> None:
        self.file.close()


class Parquet:
    def __init__(self, path: Path) -> None:
        self.path, self.arrow = path, needed("pyarrow", f"{path}: Parquet")
        self.parquet = needed("pyarrow.parquet", f"{path}: Parquet", "pyarrow")
        self.file: Any = None

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        block = self.arrow.table({name: list(values) for name, values in columns.items()})
        if self.file is None:
            self.file = self.parquet.ParquetWriter(self.path, block.schema)
        self.file.write_table(block)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


WRITERS: dict[str, type[Writer]] = {".csv": CSVWriter, ".jsonl": JSONLines, ".parquet": Parquet}


class RowsFile:
    """A file of rows that is there as a whole or not at all.

    Raises:
        UserError: its ending is unknown, or the disk refuses it.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in WRITERS:
            raise UserError(
                f"--output {path}: unknown ending {path.suffix!r}; predictions are written as "
                f"{', '.join(WRITERS)}"
            )
        self.path, self.part = path, path.with_name(f"{path.name}.part")

    def __enter__(self) -> Writer:
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.writer = WRITERS[self.path.suffix](self.part)
        return self.writer

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.writer.close()
        if kind is None and self.part.exists():
            with disk_errors(self.path):
                os.replace(self.part, self.path)
        else:
            self.part.unlink(missing_ok=True)
