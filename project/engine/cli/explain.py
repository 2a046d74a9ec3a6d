"""Which written value does not parse, and what was expected there, from the signatures' types."""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import torch

from ..errors import clip
from .classes import KeyPath, Tree, class_parser, load_class, rule_at, slot_at
from .settings import Settings

# Types that jsonargparse names, and our words for them.
NAMED = {
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number, 0 or above",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or above",
    "ClosedUnitInterval": "a number from 0 to 1",
}
PLAIN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    torch.Tensor: "a list, as in [1,2]",
    dict: "keys",
}


def explain(
    settings: Settings, parser: Any, tree: Tree, owners: Mapping[str, type], error: Exception
) -> str:
    """One line about the one value that does not parse.

    Args:
        settings: Who knows where each key was written.
        parser: Of the whole config.
        tree: What was parsed.
        owners: The classes whose arguments the groups without a class path are.
        error: What the parser said, for what no signature explains.
    """
    for path, class_path, given in _classes(tree):
        slot = slot_at(path)
        skip = slot.skip if slot else 0
        owner = load_class(class_path, class_path)
        whole, names = class_parser(class_path, skip)
        for key, value in given.items():
            alone, _ = class_parser(class_path, skip, without=set(names) - {key})
            if not _parses(alone, {key: value}):
                where = settings.say((*path, key))
                return f"{where}: {expected(annotation(owner, key))}, got {clip(value)!r}"
        if not _parses(whole, given):
            needed = [name for name in names if name not in given and is_required(owner, name)]
            if needed:
                option = f"--{'.'.join(path)}.{needed[0]} VALUE"
                return f"{settings.say(path)}: {owner.__name__} needs {', '.join(needed)}; {option}"
    for group, value in tree.items():
        in_group = value.items() if group in owners else [("", value)]
        for key, item in in_group:
            if not _parses(parser, {group: {key: item} if key else item}):
                hint = annotation(owners[group], key) if key else int | bool
                where = settings.say((group, key) if key else (group,))
                return f"{where}: {expected(hint)}, got {clip(item)!r}"
    lines = str(error).splitlines()
    return clip(lines[-1] if lines else error, 200)


def _parses(parser: Any, value: Tree) -> bool:
    try:
        parser.parse_object(value)
    except Exception:
        return False
    return True


def _classes(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str, Tree]]:
    """Every class of a tree with its arguments, the innermost first: a cause lies deepest."""
    if isinstance(tree, list):
        for item in tree:
            yield from _classes(item, path)
    elif isinstance(tree, dict):
        arguments = tree.get("init_args", {}) if "class_path" in tree else tree
        for key, value in arguments.items():
            yield from _classes(value, (*path, key))
        if class_path := tree.get("class_path") or rule_at(path):
            yield path, class_path, arguments


# ---------------------------------------------------------------------- types in words


def _owners(owner: type, name: str) -> Iterator[type]:
    """The classes, nearest first, whose own constructor has an argument of this name."""
    for part in owner.__mro__:
        init = part.__dict__.get("__init__")
        if init is not None and name in inspect.signature(init).parameters:
            yield part


def annotation(owner: type, name: str) -> Any:
    """The type of a constructor's argument; Any where nobody says."""
    for part in _owners(owner, name):
        try:
            return typing.get_type_hints(part.__init__).get(name, Any)  # type: ignore[misc]
        except (NameError, TypeError):  # a type that is imported for type checkers alone
            return Any
    return Any


def documented(owner: type, name: str) -> tuple[Any, str]:
    """The type of a constructor's argument, and what a docstring says of it."""
    for part in _owners(owner, name):
        for text in (inspect.getdoc(part), inspect.getdoc(part.__init__)):  # type: ignore[misc]
            if found := re.search(
                rf"^( +){name}(?: \(.*?\))?:\s+(.*(?:\n\1 +.*)*)", text or "", re.M
            ):
                return annotation(owner, name), " ".join(found[2].split())
    return annotation(owner, name), ""


def is_required(owner: type, name: str) -> bool:
    """Whether a constructor's argument has no default."""
    for part in _owners(owner, name):
        parameter = inspect.signature(part.__init__).parameters[name]  # type: ignore[misc]
        return parameter.default is inspect.Parameter.empty
    return False


def expected(hint: Any) -> str:
    """`expected a whole number or null`, from a type."""
    words = sorted(dict.fromkeys(_words(hint)), key=lambda word: word == "null")
    return f"expected {' or '.join(words)}" if words and words != ["null"] else "not accepted"


def _words(hint: Any) -> list[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        # A learning rate may be a tensor, but not in a config.
        return [word for part in arguments if part is not torch.Tensor for word in _words(part)]
    if origin is Literal:
        return [f"one of {', '.join(map(str, arguments))}"]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [f"one of {', '.join(member.name for member in hint)}"]
    if getattr(hint, "__name__", "") in NAMED:
        return [NAMED[hint.__name__]]
    kind = origin or hint
    if kind in PLAIN:
        return [PLAIN[kind]]
    if kind is Callable or (isinstance(kind, type) and issubclass(kind, Callable)):  # type: ignore[arg-type]
        return ["the name of a class"]
    if isinstance(kind, type) and issubclass(kind, Iterable):
        return ["a list, as in [1,2]"]
    return ["the name of a class"] if isinstance(kind, type) else []
