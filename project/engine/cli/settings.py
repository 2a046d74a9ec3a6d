"""Settings as plain trees: what was written on the command line and in files, merged before
anything is parsed.

Only what somebody wrote is merged, so that no default of one class leaks into another; each value
remembers where it was written.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field
from typing import Any

import yaml

from ..errors import UserError, clip, suggest
from ..registry import RENAMED, renamed
from .classes import (
    CLASS_OR_WORD,
    NEEDED,
    KeyPath,
    Slot,
    Tree,
    accepted,
    arguments_of,
    in_modules,
    load_class,
    resolve,
    rule_at,
    slot_at,
)
from .signatures import annotation, expected, takes_code, takes_null
from .yamltext import MAX_DEPTH, ConfigLoader, read_yaml

GROUPS = ("name", "seed_everything", "data", "model", "trainer", "run")
PATH = r"[A-Za-z_]\w*(\.\w+)+"  # an import path


# ---------------------------------------------------------------------- one layer of settings


@dataclass
class Layer:
    """What one place wrote: a tree whose class nodes are {class_path, init_args}, and how to name a
    key of it.
    """

    tree: Tree
    say: Callable[[KeyPath], str]


def from_yaml(text: str, source: str) -> Layer:
    """The settings of a YAML text.

    Raises:
        UserError: it is not YAML, a key stands twice, or it is built to be expensive.
    """
    return from_tree(read_yaml(text, source), source)


def from_tree(tree: Tree, source: str) -> Layer:
    """The settings of a tree as a YAML file holds it."""

    def say(path: KeyPath) -> str:
        return f"{source}: {'.'.join(path)}" if path else source

    for group in ("trainer", "run"):  # not a value that a later layer's keys would hide
        if group in tree and not isinstance(tree[group], dict):
            raise UserError(f"{say((group,))}: expected keys below it, got {clip(tree[group])!r}")
    return Layer(_normal(tree, (), say), say)


def on_the_command_line(path: KeyPath) -> str:
    return f"--{'.'.join(path)}"


def from_assignments(
    assignments: list[tuple[str, str]], say: Callable[[KeyPath], str] = on_the_command_line
) -> Layer:
    """The settings of `--key value` pairs; their order does not matter.

    Raises:
        UserError: one key is given twice with different values.
    """
    tree: Tree = {}
    given: dict[KeyPath, str] = {}
    last: dict[KeyPath, Tree] = {}  # of each list of classes, the one that was named last
    for key, text in assignments:
        path = tuple(part for part in key.split(".") if part not in ("init_args", "class_path"))
        if not all(path):
            raise UserError(f"--{key}: not a key; keys look like --model.optimizer.lr")
        head = next((path[:end] for end in range(1, len(path)) if path[:end] in last), None)
        if head is not None:
            arguments = last[head].setdefault("init_args", {})
            _merge_into(arguments, _nested(path[len(head) :], text, say, head))
            continue
        for end in range(1, len(path)):
            slot = slot_at(path[:end])
            if slot is not None and slot.many:
                name = ".".join(path[:end])
                raise UserError(
                    f"--{key}: of which {slot.kind}? Name it first, in the same command: "
                    f"--{name.removesuffix('+')}+ NAME --{name.removesuffix('+')}+.{path[end]} "
                    f"{clip(text)}"
                )
        appends = path[-1].endswith("+")
        if not appends and given.setdefault(path, text) != text:
            raise UserError(f"--{key} is given twice: {clip(given[path])!r} and {clip(text)!r}")
        below = _nested(path, text, say)
        _merge_into(tree, below)
        slot = slot_at(path)
        if slot is not None and slot.many:
            items = _at(tree, path)
            if isinstance(items, list) and items and isinstance(items[-1], dict):
                last[path] = items[-1]
    return Layer(tree, say)


def _at(tree: Tree, path: KeyPath) -> Any:
    """What stands at a path, below classes as below keys; what is appended stands in its list."""
    for depth, key in enumerate(path):
        tree = tree[key if key in tree else key.removesuffix("+")]
        if depth + 1 < len(path) and "init_args" in tree:
            tree = tree["init_args"]
    return tree


def _nested(path: KeyPath, text: str, say: Callable[[KeyPath], str], above: KeyPath = ()) -> Tree:
    """One assignment as a tree, that of a class in the list at `above`."""
    value: Any = text
    if not above and (slot_at(path) is not None or rule_at(path) is not None):
        value = (
            _from_text(text, say(path))
            if text[:1] in "[{" or text in ("null", "true", "false")
            else text
        )
        value = _normal(value, path, say)
    for depth in range(len(path) - 1, -1, -1):
        value = {path[depth]: value}
        if depth and not above and slot_at(path[:depth]) is not None:
            value = {"init_args": value}
    return value


def _from_text(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=ConfigLoader)
    except yaml.YAMLError:
        raise UserError(f"{where}: not YAML: {clip(text)!r}") from None


def _normal(value: Any, path: KeyPath, say: Callable[[KeyPath], str]) -> Any:
    """A value with every class in it as {class_path, init_args} and full import paths."""
    if len(path) > MAX_DEPTH:
        raise UserError(f"{say(path[:3])}: nested too deeply")
    slot = slot_at(path)
    if isinstance(value, list):
        items = [_normal(item, path, say) for item in value]
        return (
            [part for item in items for part in item] if slot is not None and slot.many else items
        )
    if isinstance(value, str) and slot is not None:
        if CLASS_OR_WORD.fullmatch(".".join(path)) and not in_modules(value, slot):
            return value
        return _node({"class_path": resolve(value, slot, say(path))}, slot)
    if not isinstance(value, dict):
        if slot is not None and not _may_be(value, path):
            raise UserError(
                f"{say(path)}: expected the name of a {slot.kind}, got {json.dumps(value)}"
            )
        return value
    if not all(isinstance(key, str) for key in value):
        wrong = next(key for key in value if not isinstance(key, str))
        raise UserError(f"{say(path)}: the key {wrong!r} is not a word")
    if slot is None and "class_path" not in value:
        return {key: _normal(item, (*path, key), say) for key, item in value.items()}
    node: Tree = {}
    arguments = dict(value)
    if slot is None:
        raise UserError(f"{say(path)}: no class can be named here; it takes plain values")
    if "class_path" in value:
        name = arguments.pop("class_path")
        if not isinstance(name, str):
            raise UserError(f"{say(path)}.class_path: expected a name, got {clip(name)!r}")
        node["class_path"] = resolve(name, slot, say(path))
        beside = sorted(set(arguments) - {"init_args"})
        if beside:
            raise UserError(
                f"{say((*path, beside[0]))}: stands beside class_path; the arguments of a class "
                "go under init_args"
            )
    if "init_args" in arguments:
        arguments = arguments["init_args"] or {}
        if not isinstance(arguments, dict):
            raise UserError(f"{say(path)}.init_args: expected keys, got {clip(arguments)!r}")
    old = {name for table in RENAMED.values() for name in table}
    if "class_path" in node and old & set(arguments):
        found = load_class(node["class_path"], say(path))
        bases = (f"{base.__module__}.{base.__name__}" for base in getattr(found, "__mro__", ()))
        arguments = renamed(bases, arguments)
    node["init_args"] = {key: _normal(item, (*path, key), say) for key, item in arguments.items()}
    return _node(node, slot)


def _node(node: Tree, slot: Slot | None) -> Any:
    """A class where its slot holds one, a list of it where the slot holds many."""
    return [node] if slot is not None and slot.many else node


def _may_be(value: Any, path: KeyPath) -> bool:
    """Whether a slot can hold a value that names no class."""
    return (
        value is None and path not in NEEDED
        if not isinstance(value, bool)
        else path[0] == "trainer"
    )


# ---------------------------------------------------------------------- merging


@dataclass
class Settings:
    """All layers merged, the later over the earlier.

    Args:
        tree: What was written, class nodes as {class_path, init_args}.
        origins: Where each key was written.
        configs: The files among the layers.
        assignments: What the command line set, as text.
    """

    tree: Tree = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    configs: list[str] = field(default_factory=list)
    assignments: list[tuple[str, str]] = field(default_factory=list)

    def add(self, layer: Layer) -> None:
        """Lay what another place wrote over it."""
        _merge_into(self.tree, layer.tree)
        for path, _ in leaves(layer.tree):
            for end in range(1, len(path) + 1):
                self.origins[path[:end]] = layer.say(path[:end])

    def over(self, saved: Layer) -> Settings:
        """These settings over the config of a checkpoint that was made with them, or others.

        What an appending key (`callbacks+`) has appended before is not appended once more.
        """
        below = Settings(configs=self.configs, assignments=self.assignments)
        below.add(saved)
        _merge_into(below.tree, copy.deepcopy(self.tree), once=True)
        below.origins |= self.origins
        return below

    def say(self, path: KeyPath) -> str:
        """A key as its writer knows it: `--model.net` or `configs/lenet.yaml: model.net`."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]] + "".join(f".{part}" for part in path[end:])
        return f"--{'.'.join(path)}"

    def check_groups(self, groups: dict[str, type]) -> None:
        """Refuse unknown keys at the top, and in the groups that are always of one class.

        Raises:
            UserError: names the key, where it was written, and the nearest ones.
        """
        for key in self.tree:
            if key not in GROUPS:
                raise UserError(f"{self.say((key,))}: unknown key; {suggest(key, GROUPS, 'keys')}")
        for group, owner in groups.items():
            known = set(inspect.signature(owner).parameters)
            below = self.tree.get(group, {})
            if not isinstance(below, dict):
                raise UserError(
                    f"{self.say((group,))}: expected keys below it, such as "
                    f"{group}.{sorted(known)[0]}"
                )
            for key, given in below.items():
                if key.removesuffix("+") not in known:
                    raise UserError(f"{self.say((group, key))}: unknown key; {suggest(key, known)}")
                if given is None:
                    self._check_null((group, key), annotation(owner, key))

    def complete(self, default_classes: dict[str, str]) -> Tree:
        """The tree with the class of every node, and the defaults of that class, so that those of
        another cannot remain.

        Raises:
            UserError: an argument that its class does not have.
        """
        for key in default_classes:
            if not isinstance(self.tree.get(key, {}), dict):
                found = clip(self.tree[key])
                raise UserError(f"{self.say((key,))}: expected the name of a class, got {found!r}")
        tree = {key: {"init_args": {}} | self.tree.get(key, {}) for key in default_classes}
        for key, class_path in default_classes.items():
            tree[key].setdefault("class_path", class_path)
        return {key: self._complete(value, (key,)) for key, value in (self.tree | tree).items()}

    def _complete(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, list):
            return [self._complete(item, path) for item in value]
        if not isinstance(value, dict):
            return value
        if "class_path" not in value:
            if (rule := rule_at(path)) is not None:
                self._check_rule(value, path, rule)
            plain = {key: item for key, item in value.items() if not key.endswith("+")}
            more = {key[:-1]: item for key, item in value.items() if key.endswith("+")}
            return {key: self._complete(item, (*path, key)) for key, item in (plain | more).items()}
        slot, class_path = slot_at(path), value["class_path"]
        names, defaults = arguments_of(class_path, slot.skip if slot else 0)
        completed = copy.deepcopy(defaults)
        for key, given in (value.get("init_args") or {}).items():
            if key.removesuffix("+") not in names:
                name = class_path.rpartition(".")[2]
                raise UserError(
                    f"{self.say((*path, key))}: {name} has no such argument; "
                    f"{suggest(key, names, 'it has')}"
                )
            default = defaults.get(key)
            if (
                isinstance(given, dict)
                and "init_args" in given
                and isinstance(default, dict)
                and "class_path" in default
            ):
                given = {"class_path": default["class_path"], **given}
            owner = load_class(class_path, class_path)
            self._check_code(given, (*path, key), owner, key)
            if given is None and default is not None:
                self._check_null((*path, key), annotation(owner, key))
            given = self._complete(given, (*path, key))
            if key.endswith("+"):
                key, given = key[:-1], [*(completed.get(key[:-1]) or []), *given]
            completed[key] = given
        return {"class_path": class_path, "init_args": completed}

    def _check_code(self, given: Any, path: KeyPath, owner: type, key: str) -> None:
        """Refuse a function or a class by its path, but those of torch.nn: a config runs no code.

        Raises:
            UserError: the argument takes one, and it is of another package, or private.
        """
        names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        paths = [name for name in names if isinstance(name, str) and re.fullmatch(PATH, name)]
        if slot_at(path) is None and paths and takes_code(annotation(owner, key)):
            for name in paths:
                if not name.startswith("torch.nn.") or "._" in name:
                    where = self.say(path)
                    raise UserError(f"{where}: {clip(name)!r}: only functions of torch.nn, by path")

    def _check_null(self, path: KeyPath, hint: Any) -> None:
        """Refuse null for what has to have a value; jsonargparse takes it from a file.

        Raises:
            UserError: the argument cannot be null.
        """
        if slot_at(path) is None and not takes_null(hint):
            raise UserError(f"{self.say(path)}: {expected(hint)}, got null")

    def _check_rule(self, rule: Tree, path: KeyPath, class_path: str) -> None:
        keys = {
            key.name: key.default is MISSING
            for key in dataclasses.fields(load_class(class_path, class_path))
        }
        for key in rule:
            if key not in keys:
                raise UserError(
                    f"{self.say((*path, key))}: a rule has no such key; "
                    f"{suggest(key, keys, 'it has')}"
                )
        for key, is_needed in keys.items():
            if is_needed and key not in rule:
                raise UserError(f"{self.say(path)}: the rule {clip(rule)} needs {key}")


def _merge_into(low: Tree, high: Tree, once: bool = False) -> None:
    """Merge `high` into `low`; with `once`, items to append that are there already stay single."""
    for key, value in high.items():
        if key.endswith("+"):
            target = key[:-1] if isinstance(low.get(key[:-1]), list) else key
            known = low.get(target) or []
            items = value if isinstance(value, list) else [value]
            new = [
                item for item in items if not (once and any(_stands_for(item, k) for k in known))
            ]
            low[target] = [*known, *new]
        elif isinstance(value, dict) and isinstance(low.get(key), dict):
            below = low[key]
            if "class_path" in value and value["class_path"] != below.get("class_path"):
                kept = accepted(value["class_path"])
                given = below.get("init_args", {})
                low[key] = {"init_args": {k: v for k, v in given.items() if k in kept}}
            _merge_into(low[key], value, once)
        elif isinstance(value, dict):
            low[key] = {}
            _merge_into(low[key], value, once)
        else:
            low.pop(f"{key}+", None)
            low[key] = value


def _stands_for(item: Any, known: Any) -> bool:
    """Whether an item as somebody writes it is one that has been completed with defaults."""
    if not (isinstance(item, dict) and isinstance(known, dict)):
        return str(item) == str(known)
    return all(key in known and _stands_for(value, known[key]) for key, value in item.items())


def leaves(tree: Tree, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is no tree, with its path as a person writes it (without init_args)."""
    for key, value in tree.items():
        here = path if key in ("init_args", "class_path") else (*path, key)
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, value
