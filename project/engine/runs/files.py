"""Files that are never seen half written, and the few calls that differ between systems."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ..errors import UserError


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside its final name, sync it and rename it; a reader sees the old file or the
    whole new one.

    Raises:
        UserError: the system's reason, in one line; the old file is untouched.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if reason := _system_reason(error):
            raise UserError(f"{path}: {reason}") from error
        raise


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """A full disk, or a folder that is gone, in one line.

    Raises:
        UserError: the system's reason.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or error}; the same command continues the run when that is "
            "mended"
        ) from error


def remove(folder: Path) -> None:
    """Remove a folder, and those above it that are then empty."""
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):
        os.removedirs(folder.parent)


def write_text(path: Path, text: str) -> None:
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The values in a JSON file.

    Raises:
        UserError: it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not JSON, half written or damaged"
        raise UserError(f"{path}: {reason}; bring it back, or move the run away") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: damaged; it holds no keys")
    return found


def update_json(path: Path, values: dict[str, Any]) -> None:
    """Put values into a JSON file, new or known; what else stands in it stays. Only the first
    process of a run writes.
    """
    from lightning.pytorch.utilities import (
        rank_zero_only,
    )  # here, because who only reads runs needs no torch

    known = read_json(path) if path.is_file() else {}
    rank_zero_only(write_json)(path, known | values)


FORMULA = "=+-@\t\r"  # what the text of a formula begins with


def plain(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers stay
    numbers, read from text too.
    """
    if isinstance(value, str) and len(value) > 1 and value[0] in FORMULA:
        try:
            float(value)
        except ValueError:
            return "'" + value
    return value


def csv_line(row: list[Any]) -> bytes:
    return csv_lines([[cell] for cell in row])


def csv_lines(columns: Iterable[Sequence[Any]]) -> bytes:
    """Columns as lines of a CSV."""
    written = [
        [plain(c) if isinstance(c, str) and c[:1] in FORMULA else c for c in column]
        if any(issubclass(kind, str) for kind in set(map(type, column)))
        else column
        for column in columns
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(*written, strict=True))
    return text.getvalue().encode()


def read_column(path: Path, name: str) -> list[float]:
    """The finite numbers in a column of a CSV; none where there is no such file or column."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        numbers = [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
    return [number for number in numbers if abs(number) < float("inf")]


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def available_cores() -> int:
    """The CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _system_reason(error: BaseException) -> str | None:
    """What the system says; torch turns a full disk into a RuntimeError with the OSError behind
    it.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__context__
    return None
