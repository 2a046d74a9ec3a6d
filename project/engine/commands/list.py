"""`list`: what can be named, one line each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..errors import UserError, suggest
from ..formats import setting
from ..registry import TABLES

KEYS = {
    "networks": "--model.net",
    "data": "--data",
    "tasks": "--model",
    "losses": "--model.loss",
    "optimizers": "--model.optimizer",
    "schedules": "--model.schedule",
    "augmentations": "data.augment",
    "metrics": "--model.metrics",
}


HELP = f"usage: PROGRAM list [{'|'.join(KEYS)}] [NAME]"


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Print a table of names, or, with a name behind it, the arguments of that class."""
    if arguments and arguments[0] not in KEYS:
        raise UserError(
            f"list: unknown kind {arguments[0]!r}; {suggest(arguments[0], KEYS, 'kinds')}"
        )
    if len(arguments) > 1:
        return _explain(arguments[0], arguments[1])
    for kind in arguments or KEYS:
        key, table = KEYS[kind], TABLES[kind]
        width = max(map(len, table), default=0)
        print(f"{kind} ({key})")
        for name, (_, line) in table.items():
            print(f"  {name:<{width}}  {line}")
    return 0


def _explain(kind: str, name: str) -> int:
    from ..cli.classes import SLOTS, arguments_of, load_class
    from ..cli.signatures import documented, expected, is_required

    key, table = KEYS[kind], TABLES[kind]
    if name not in table:
        raise UserError(f"list {kind}: unknown name {name!r}; {suggest(name, table, kind)}")
    slot = next(slot for _, slot in SLOTS if slot.table is table)
    owner = load_class(table[name][0], name)
    names, defaults = arguments_of(table[name][0], slot.skip)
    print(f"{key} {name}\n  {table[name][1]}")
    for argument in names:
        hint, text = documented(owner, argument)
        words = expected(hint).removeprefix("expected ").replace("not accepted", "any value")
        default = f"default {setting(defaults.get(argument))}"
        default = "needed" if is_required(owner, argument) else default
        print(f"  --{argument}  {words}; {default}")
        if text:
            print(textwrap.fill(text, 96, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return 0
