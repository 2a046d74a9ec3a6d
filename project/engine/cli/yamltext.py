"""YAML as configs have it: safe, bounded, and read as YAML 1.2 reads words and numbers."""

from __future__ import annotations

import re
from typing import Any

import yaml
from jsonargparse import set_loader

from ..errors import UserError, clip
from .classes import Tree

MAX_FILE_BYTES, MAX_NODES, MAX_DEPTH = 1_000_000, 100_000, 40


def read_yaml(text: str, source: str) -> Tree:
    """A YAML text as a tree, nothing in it looked at but its form.

    Raises:
        UserError: it is not YAML, a key stands twice, or it is built to be expensive.
    """
    if len(text) > MAX_FILE_BYTES:
        raise UserError(f"{source}: {len(text):,} bytes are more than a config has")
    if _depth(text) > 10 * MAX_DEPTH:
        raise UserError(f"{source}: nested too deeply")
    try:
        if _nodes(yaml.compose(text, Loader=ConfigLoader)) > MAX_NODES:
            raise UserError(f"{source}: its aliases (*name) make more of it than a config has")
        tree = yaml.load(text, Loader=ConfigLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(
            f"{source}{line}: not YAML: {clip(getattr(error, 'problem', None) or error, 120)}"
        ) from None
    except RecursionError:
        raise UserError(f"{source}: nested too deeply") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise UserError(
            f"{source}: expected keys (data, model, trainer, run, ...), got {clip(tree)!r}"
        )
    return tree


def _depth(text: str) -> int:
    """How many brackets are open at once, those in texts too."""
    depth = deepest = 0
    for mark in text:
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def _nodes(node: yaml.Node | None) -> int:
    """The nodes of a document with every alias written out, counted without writing them out."""
    counted: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counted:
            counted[id(node)] = MAX_NODES + 1  # an alias of itself
            below = node.value if isinstance(node, yaml.CollectionNode) else []
            parts = [
                part for pair in below for part in (pair if isinstance(pair, tuple) else [pair])
            ]
            counted[id(node)] = 1 + sum(map(count, parts))
        return counted[id(node)]

    return count(node) if node is not None else 0


class ConfigLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads 1e-3 as a number."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):  # 9,000 digits, !!int word, !!bool maybe
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"{clip(node.value)!r} is no {kind}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # <<: *name
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# As in YAML 1.2: yes, no, on, off and 12:30 are texts, 1e-3 is a number. And 007 is a text, as is a
# date: 2024-04-12 is a good name for a run.
DIGITS = list("-+0123456789.")
PLAIN_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", DIGITS),
    "float": (
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        DIGITS,
    ),
}
OTHERWISE = {f"tag:yaml.org,2002:{name}" for name in (*PLAIN_SCALARS, "timestamp")}
ConfigLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in OTHERWISE]
    for first, found in ConfigLoader.yaml_implicit_resolvers.items()
}
for name, (pattern, first) in PLAIN_SCALARS.items():
    ConfigLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{name}", re.compile(f"^({pattern})$"), first
    )
# what stands in a text, such as [1, 2] for a list, is read the same way
set_loader("yaml", lambda text: yaml.load(text, Loader=ConfigLoader), (yaml.YAMLError,))


class ConfigDumper(yaml.SafeDumper):
    """Writes YAML that `read_yaml` reads as it was: a text that looks like a number has quotes."""


ConfigDumper.yaml_implicit_resolvers = {
    first: [*found, *ConfigLoader.yaml_implicit_resolvers.get(first, ())]
    for first, found in yaml.SafeDumper.yaml_implicit_resolvers.items()
}
for first, found in ConfigLoader.yaml_implicit_resolvers.items():
    ConfigDumper.yaml_implicit_resolvers.setdefault(first, list(found))


def write_yaml(tree: Tree, width: int = 80) -> str:
    """A tree as YAML, in its order."""
    return yaml.dump(tree, Dumper=ConfigDumper, sort_keys=False, allow_unicode=True, width=width)
