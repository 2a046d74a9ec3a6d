"""Which written value does not parse, and what was expected there, from the signatures' types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import clip
from .classes import KeyPath, Tree, class_parser, load_class, rule_at, slot_at
from .settings import Settings
from .signatures import annotation, expected, is_required


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
        whole, names = class_parser(owner, skip)
        if _parses(whole, given):
            continue
        for key, value in given.items():
            alone, _ = class_parser(owner, skip, without=set(names) - {key})
            if not _parses(alone, {key: value}):
                where = settings.say((*path, key))
                return f"{where}: {expected(annotation(owner, key))}, got {clip(value)!r}"
        needed = [name for name in names if name not in given and is_required(owner, name)]
        if needed:
            option = f"--{'.'.join(path)}.{needed[0]} VALUE"
            return f"{settings.say(path)}: {owner.__name__} needs {', '.join(needed)}; {option}"
    for group, owner in owners.items():
        alone, _ = class_parser(owner)
        for key, value in (tree.get(group) or {}).items():
            if not _parses(alone, {key: value}):
                where = settings.say((group, key))
                return f"{where}: {expected(annotation(owner, key))}, got {clip(value)!r}"
    for key in tree.keys() - owners.keys():
        if not _parses(parser, {key: tree[key]}):
            return f"{settings.say((key,))}: {expected(int | bool)}, got {clip(tree[key])!r}"
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
