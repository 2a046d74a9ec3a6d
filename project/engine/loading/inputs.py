"""The image files that a word on the command line means."""

from __future__ import annotations

import glob
import sys
from pathlib import Path

from ..errors import UserError

IMAGES = tuple(".jpg .jpeg .png .jpe .jfif .bmp .gif .tif .tiff .webp .avif .ppm .pgm .pbm".split())
TABLES = (".csv", ".tsv", ".parquet", ".pq")


def paths_of(word: str) -> list[Path]:
    """The image files that a word means: a file, a folder at any depth, a pattern, a text file of
    paths, or `-` for paths on standard input.

    Raises:
        UserError: it means none.
    """
    if word == "-":
        return [Path(line.strip()) for line in sys.stdin if line.strip()]
    given = Path(word).expanduser()
    if given.is_dir():
        found = sorted(path for path in given.rglob("*") if path.suffix.lower() in IMAGES)
        if not found:
            raise UserError(f"--input {word}: no image in it ({', '.join(IMAGES[:4])}, ...)")
        return found
    if given.is_file():
        if given.suffix.lower() not in (".txt", ".lst"):
            return [given]
        lines = given.read_text(encoding="utf-8").splitlines()
        return [given.parent / line.strip() for line in lines if line.strip()]
    found = [Path(path) for path in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207
    if not found:
        raise UserError(f"--input {word}: no such file, folder or pattern")
    return found
