"""Classes by name: what a config may name, where the names stand, and which arguments a class
has.
"""

from __future__ import annotations

import enum
import functools
import importlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, clip, suggest
from ..registry import ENGINE, TABLES, TRUST, KeyPath, Table, importable, moved, relative

SCHEDULER = "torch.optim.lr_scheduler.LRScheduler"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Slot:
    """A key whose value is a class: the table of its short names, and the modules where further
    ones are looked up.
    """

    kind: str
    table: Table
    modules: tuple[str, ...] = ()
    skip: int = 0  # leading arguments that the caller fills in, not the config
    base: str = "builtins.object"
    many: bool = False  # a list of classes; a single one is a list of one


SLOTS: tuple[tuple[str, Slot], ...] = (
    (r"data", Slot("dataset", TABLES["data"], base=f"{ENGINE}.bases.data.DataModule")),
    (
        r"data\.augment(\.transforms)*",
        Slot(
            "augmentation",
            TABLES["augmentations"],
            ("torchvision.transforms.v2",),
            base="torch.nn.Module",
            many=True,
        ),
    ),
    (r"model", Slot("task", TABLES["tasks"], base=f"{ENGINE}.bases.task.Task")),
    (
        r"model\.net",
        Slot("network", TABLES["networks"], skip=1, base=f"{ENGINE}.bases.network.Network"),
    ),
    (r"model\.loss", Slot("loss", TABLES["losses"], ("torch.nn",), base="torch.nn.Module")),
    (
        r"model\.(groups\.)?optimizer",
        Slot("optimizer", TABLES["optimizers"], ("torch.optim",), 1, "torch.optim.Optimizer"),
    ),
    (
        r"model\.schedule(\.schedules)*",
        Slot("schedule", TABLES["schedules"], ("torch.optim.lr_scheduler",), 1, SCHEDULER),
    ),
    (
        r"model\.metrics",
        Slot(
            "metric", TABLES["metrics"], base=f"{ENGINE}.building.metrics.MetricChoice", many=True
        ),
    ),
    (
        r"trainer\.callbacks",
        Slot(
            "callback",
            {},
            ("lightning.pytorch.callbacks",),
            base="lightning.pytorch.Callback",
            many=True,
        ),
    ),
    (
        r"trainer\.logger",
        Slot(
            "logger",
            {},
            ("lightning.pytorch.loggers",),
            base="lightning.pytorch.loggers.Logger",
            many=True,
        ),
    ),
    (
        r"trainer\.(strategy|plugins|profiler)",
        Slot("class", {}, ("lightning.pytorch.strategies", "lightning.pytorch.profilers")),
    ),
)
RULES: dict[
    KeyPath, str
] = {  # keys that hold a list of rules, each a few arguments without a class_path
    ("model", "init"): f"{ENGINE}.building.initialisation.InitRule",
    ("model", "groups"): f"{ENGINE}.building.groups.GroupRule",
}
NEEDED = (
    ("data",),
    ("model",),
    ("model", "net"),
    ("model", "loss"),
    ("model", "optimizer"),
)  # slots that cannot be null
CLASS_OR_WORD = re.compile(  # a bare word there may be Lightning's own
    r"trainer\.(strategy|plugins|profiler)"
)


def slot_at(path: KeyPath) -> Slot | None:
    """The slot a path stands for, if it is one."""
    dotted = ".".join(path).removesuffix("+")
    return next((slot for pattern, slot in SLOTS if re.fullmatch(pattern, dotted)), None)


def rule_at(path: KeyPath) -> str | None:
    """The class of the rules that stand at a path, if some do."""
    return RULES.get((*path[:-1], path[-1].removesuffix("+"))) if path else None


# ---------------------------------------------------------------------- classes by name


def load_class(path: str, where: str) -> Any:
    """The class at an import path, if it belongs to a package a config may name.

    Raises:
        UserError: it may not be named, or is not there.
    """
    if not any(path.startswith(f"{package}.") for package in importable()):
        package = path.partition(".")[0]
        raise UserError(
            f"{where}: {clip(path)!r} may not be imported; a config can name classes of "
            f"{', '.join(importable())}; a package of yours is named in pyproject.toml, below "
            f'{TRUST}: trust = ["{clip(package, 30)}"]'
        )
    if any(part.startswith("_") for part in path.split(".")):
        raise UserError(f"{where}: {clip(path)!r} is private; a config can name public classes")
    module, found = path, None
    while found is None and "." in module:
        module = module.rpartition(".")[0]
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (
                module == error.name or module.startswith(f"{error.name}.")
            ):
                raise
    for name in path[len(module) + 1 :].split("."):
        if found is None or not hasattr(found, name):
            names = (
                []
                if found is None
                else [n for n in dir(found) if isinstance(getattr(found, n, None), type)]
            )
            raise UserError(f"{where}: there is no {name!r} in {module}; {suggest(name, names)}")
        found = getattr(found, name)
    roots = {package.split(".")[0] for package in importable()} | {"builtins"}
    if not isinstance(found, type) or found.__module__.split(".")[0] not in roots:
        raise UserError(f"{where}: {clip(path)!r} is not a class that a config may name")
    return found


def resolve(name: str, slot: Slot | None, where: str) -> str:
    """The import path of a class given by its short name or by its path.

    Raises:
        UserError: nothing of that kind has this name.
    """
    if slot is None or name not in slot.table:
        name = moved(name)
    if slot is not None and name in slot.table:
        if Path(name).is_file():
            raise UserError(
                f"{where}: {name!r} is a class and also a file here; move the file, or write "
                f"{slot.table[name][0]}"
            )
        return slot.table[name][0]
    path = name if "." in name else in_modules(name, slot)
    if not path:
        kind, known = (slot.kind, set(slot.table)) if slot else ("class", set())
        modules = map(importlib.import_module, slot.modules if slot else ())
        near = known.union(*([n for n in vars(m) if n[0].isupper()] for m in modules))
        raise UserError(
            f"{where}: unknown {kind} {clip(name)!r}; {suggest(name, near, f'{kind}s')}"
        )
    found = load_class(path, where)
    if slot is not None and not issubclass(found, _load(slot.base)):
        raise UserError(
            f"{where}: {clip(name)!r} is no {slot.kind}; "
            f"{suggest(found.__name__, slot.table, f'{slot.kind}s')}"
        )
    return path


def in_modules(name: str, slot: Slot | None) -> str:
    """The import path of a class of this name in a slot's modules; empty where there is none."""
    modules = map(importlib.import_module, slot.modules if slot else ())
    found = (m for m in modules if isinstance(getattr(m, name, None), type))
    return next((f"{module.__name__}.{name}" for module in found), "")


def _load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def shorten(tree: Any, path: KeyPath = ()) -> Any:
    """A tree with import paths replaced by the short names they have: (for people, and for forks
    that are renamed).
    """
    if isinstance(tree, list):
        return [shorten(item, path) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "class_path" not in tree:
        return {key: shorten(value, (*path, key)) for key, value in tree.items()}
    slot = slot_at(path)
    short = {full: name for name, (full, _) in slot.table.items()} if slot else {}
    named = tree["class_path"]
    result: Tree = {"class_path": short.get(named, relative(named))}
    if tree.get("init_args"):
        result["init_args"] = {
            key: shorten(value, (*path, key)) for key, value in tree["init_args"].items()
        }
    return result


# ---------------------------------------------------------------------- arguments


def accepted(class_path: str) -> set[str]:
    """The names of a class's arguments, inherited ones too."""
    return set(arguments_of(class_path, 0)[0])


@functools.cache
def arguments_of(class_path: str, skip: int) -> tuple[tuple[str, ...], Tree]:
    """The names of a class's arguments after the first `skip`, and those with a default as a
    tree.
    """
    parser, names = class_parser(load_class(class_path, class_path), skip)
    found = parser.get_defaults(skip_validation=True)
    for name, value in vars(found).items():
        # what is typed as a text and is an object by default: a torch.device, a member of an enum
        if isinstance(value, enum.Enum) and isinstance(value, str):
            found[name] = value.value
        elif type(value).__name__ == "device":
            found[name] = str(value)
    text = parser.dump(found, format="json", skip_unset=True, skip_validation=True)
    return names, json.loads(text) or {}


def class_parser(
    owner: type, skip: int = 0, without: Iterable[str] = ()
) -> tuple[Any, tuple[str, ...]]:
    """A parser of the arguments of one class after the first `skip`, and their names."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    left_out: set[str | int] = {*without, *([skip] if skip else [])}
    try:
        added = parser.add_class_arguments(owner, skip=left_out or None)
    except ValueError as error:
        raise UserError(
            f"{owner.__name__} cannot be named in a config: an argument that it needs has no type"
        ) from error
    return parser, tuple(dict.fromkeys(name.partition(".")[0] for name in added))
