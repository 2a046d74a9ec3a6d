"""The image files that a word on the command line means."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError

IMAGES = tuple(".jpg .jpeg .png .jpe .jfif .bmp .gif .tif .tiff .webp .avif .ppm .pgm .pbm".split())
TABLES = (".csv", ".tsv", ".parquet", ".pq")


def paths_of(word: str) -> list[str]:
    """The image files that a word means: a file, a folder at any depth, a pattern, a text file of
    paths, or `-` for paths on standard input.

    Raises:
        UserError: it means none.
    """
    if word == "-":
        return [line.strip() for line in sys.stdin if line.strip()]
    given = Path(word).expanduser()
    if given.is_dir():
        found = list(_images_below(given))
        if not found:
            raise UserError(f"--input {word}: no image in it ({', '.join(IMAGES[:4])}, ...)")
        return found
    if given.is_file():
        if given.suffix.lower() not in (".txt", ".lst"):
            return [str(given)]
        lines = given.read_text(encoding="utf-8").splitlines()
        return [str(given.parent / line.strip()) for line in lines if line.strip()]
    found = sorted(glob.glob(word, recursive=True))  # noqa: PTH207
    if not found:
        raise UserError(f"--input {word}: no such file, folder or pattern")
    return found


def _images_below(folder: Path) -> Iterator[str]:
    """In order, each folder's own before those below it; as text: a Path takes as long to make as a
    small image to decode.
    """
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (
            place + os.sep + name for name in sorted(files) if name.lower().endswith(IMAGES)
        )
