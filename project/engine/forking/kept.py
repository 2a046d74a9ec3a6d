"""What a minimal project keeps of the rooms: the classes of some short names, those that its
configs name, and the files that these import.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from ..errors import UserError, suggest

ROOMS = ("networks", "data", "tasks", "training")
FIRST = ("Digits", "LeNet", "Classification")  # always kept: the first command trains them
ROW = re.compile(r'(?ms)^    "(\w+)": \(.*?\),\n(?=    "|\})')  # of a table


def rows(package: Path) -> dict[str, str]:
    """The short names in the tables of the rooms, and the import path of each in the package."""
    found = dict[str, str]()
    for room in ROOMS:
        for node in ast.parse((package / room / "__init__.py").read_text()).body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict):
                table = ast.literal_eval(node.value)
                found |= {name: path for name, (path, _) in table.items() if path.startswith(".")}
    return found


def chosen(package: Path, names: Iterable[str], configs: Iterable[Path]) -> set[str]:
    """The short names that are kept.

    Raises:
        UserError: one is in no table.
    """
    known = rows(package)
    by_lower = {name.lower(): name for name in known}
    kept = set(FIRST)
    for name in names:
        if name.lower() not in by_lower:
            raise UserError(f"--keep {name}: no such name; {suggest(name, known, 'there are')}")
        kept.add(by_lower[name.lower()])
    for config in configs:
        words = json.dumps(yaml.safe_load(config.read_text(encoding="utf-8")))  # no comments
        kept |= set(re.findall(r"\w+", words)) & known.keys()
    return kept


def files(package: Path, names: Iterable[str]) -> set[str]:
    """The files of these names and all that they import, relative to the package's parent."""
    known = rows(package)
    found = {f"{package.name}/{room}/__init__.py" for room in ROOMS}
    todo = [known[name].lstrip(".").rpartition(".")[0] for name in names]
    while todo:
        path = package.joinpath(*todo.pop().split(".")).with_suffix(".py")
        name = path.relative_to(package.parent).as_posix()
        if name in found or not path.is_file():
            continue
        found |= {name, *(p.relative_to(package.parent).as_posix() for p in _data_of(path))}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                head, _, module = node.module.partition(".")
                if head == package.name and module.split(".")[0] in ROOMS:
                    todo.append(module)
    return found


def _data_of(path: Path) -> list[Path]:
    """The files beside a module that bear its name: what a dataset reads."""
    return [other for other in path.parent.glob(f"{path.stem}.*") if other.suffix != ".py"]


def cut(text: str, names: set[str]) -> str:
    """A table's file with the rows of these names alone."""
    text = ROW.sub(lambda row: row[0] if row[1] in names else "", text)
    return re.sub(r"(?m)^(\w+)(?:: .*)? = \{\n\}", r"\1: dict[str, tuple[str, str]] = {}", text)
