"""Arguments of a class as its signature and docstring have them, and their types in words."""

from __future__ import annotations

import enum
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

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
    dict: "keys",
}


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
        return [word for part in arguments if not _is_tensor(part) for word in _words(part)]
    if _is_tensor(hint):
        return ["a list, as in [1,2]"]
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


def _is_tensor(hint: Any) -> bool:
    return "torch" in sys.modules and hint is sys.modules["torch"].Tensor


def takes_null(hint: Any) -> bool:
    """Whether an argument of this type may be null."""
    return hint in (Any, object, None, type(None)) or any(
        takes_null(part) for part in typing.get_args(hint)
    )


def takes_code(hint: Any) -> bool:
    """Whether an argument of this type takes a function or a class by its import path."""
    if any(takes_code(part) for part in typing.get_args(hint)):
        return True
    kind = typing.get_origin(hint) or hint
    return kind in (type, Callable) or (
        isinstance(kind, type) and kind is not str and issubclass(kind, (type, Callable))  # type: ignore[arg-type]
    )
