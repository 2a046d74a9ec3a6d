"""What a config may name: the tables of short names, handed in by the package, and the slots that
take a class.

A path in a table that begins with a dot is relative to the package, so that nothing here depends on
its name.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import torch_names
from .errors import UserError

PACKAGE = __name__.rpartition(".engine.")[0]
ENGINE = f"{PACKAGE}.engine"
TRUST = "[tool.project]"  # the same whatever the package is called
PROGRAM = f"python -m {PACKAGE}"

Table = dict[str, tuple[str, str]]  # short name -> (import path, one line of help)
KeyPath = tuple[str, ...]

# Kind of class -> its short names. `add` fills them in; whoever looks a name up holds these same
# dictionaries.
TABLES: dict[str, Table] = {
    "networks": {},
    "data": {},
    "tasks": {},
    "losses": dict(torch_names.LOSSES),
    "optimizers": dict(torch_names.OPTIMIZERS),
    "schedules": dict(torch_names.SCHEDULES),
    "augmentations": {},
    "metrics": {
        name: (f"{ENGINE}.building.metrics.{name}", line)
        for name, line in torch_names.METRICS.items()
    },
}
MOVED: dict[str, str] = {}  # an earlier short name or head of an import path -> today's
# class -> an earlier argument of it and its subclasses -> {today's key path: value, None the same}
RENAMED: dict[str, dict[str, dict[str, Any]]] = {}
DEFAULTS: dict[str, str] = {}  # "data" and "model": the short names taken where a config has none
FORMAT = 2  # of checkpoints and run folders; raised when earlier runs cannot go on exactly
VERSION: list[str] = []  # one text: of the package that carries this engine


def importable() -> tuple[str, ...]:
    """The packages and modules whose classes a config may name."""
    known = ("torch.nn", "torch.optim", "torchvision", "torchmetrics", "lightning")
    return (PACKAGE, *known, *trusted())


@functools.cache
def trusted() -> tuple[str, ...]:
    """The packages that pyproject.toml beside the package trusts: `trust = [...]` below TRUST.

    Raises:
        UserError: the list is no list of names.
    """
    file = Path(__file__).parents[2] / "pyproject.toml"
    if not file.is_file():
        return ()
    found: Any = tomllib.loads(file.read_text())
    for key in (*TRUST.strip("[]").split("."), "trust"):
        found = found.get(key, {})
    found = found or []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UserError(f'{file}: trust is a list of packages, as in trust = ["timm"]')
    return tuple(found)


def add(**tables: Mapping[str, tuple[str, str]]) -> None:
    """Add short names: kind of class -> its table. Later ones take the place of earlier ones."""
    for kind, table in tables.items():
        TABLES[kind] |= {name: (absolute(path), line) for name, (path, line) in table.items()}


def marks() -> dict[str, int | str]:
    """Return what tells a later version how to read a checkpoint or a run folder."""
    return {"format": FORMAT, "version": VERSION[0]}


def absolute(path: str) -> str:
    """An import path with the package's name, if it begins with a dot."""
    return f"{PACKAGE}{path}" if path.startswith(".") else path


def relative(path: str) -> str:
    """An import path without the package's name, so that a saved one survives a rename."""
    return path.removeprefix(PACKAGE) if path.startswith(f"{PACKAGE}.") else path


def moved(name: str) -> str:
    """What a short name or an import path written by an earlier version is called today."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (head := ".".join(parts[:end])) in MOVED:
            return absolute(MOVED[head] + name[len(head) :])
    return absolute(name)


def renamed(bases: Iterable[str], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a class, its `bases` by import path, as they are called today."""
    table = {old: new for base in bases for old, new in RENAMED.get(relative(base), {}).items()}
    found: dict[str, Any] = {}
    for key, value in arguments.items():
        for path, constant in table.get(key, {key: None}).items():
            *groups, last = path.split(".") if key in table else [path]
            place = found
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value if constant is None else constant
    return found
