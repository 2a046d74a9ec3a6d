"""The run folders that words on the command line mean."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import UserError
from .run import PARTS

DEPTH = 6  # of folders in which runs are looked for


def find_runs(words: Iterable[str | Path]) -> list[Path]:
    """The run folders that are meant by run folders, folders of them at any depth, and patterns
    such as `runs/lenet/*`.

    A folder that should be a run's and is not whole is among them: `Run` says what it lacks.

    Raises:
        UserError: a word means no run at all.
    """
    found: dict[Path, None] = {}
    for word in words:
        given = Path(word)
        pattern = glob.glob(str(word))  # noqa: PTH207 - Path.glob takes no absolute pattern
        places = [given] if given.exists() else [Path(place) for place in sorted(pattern)]
        if not places:
            raise UserError(f"{word}: no such folder")
        runs = [run for place in places if place.is_dir() for run in _below(place)]
        if not runs:
            raise UserError(f"{word}: no run in it; a run folder has a config.yaml and a run.json")
        found |= dict.fromkeys(runs)
    return list(found)


def _below(folder: Path, depth: int = 0) -> Iterator[Path]:
    """A folder if it is a run's, or those of the runs below it, in order."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    numbered = folder.name.isdecimal() and len(folder.name) >= 3 and not entries
    if numbered or any(entry.name in PARTS for entry in entries):
        yield folder
    elif depth < DEPTH:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(folder / entry.name, depth + 1)
