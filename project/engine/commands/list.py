"""`list`: what can be named, one line each."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from ..errors import UserError, suggest
from ..registry import TABLES

KEYS = {
    "networks": "--model.net",
    "data": "--data",
    "tasks": "--model",
    "losses": "--model.loss",
    "optimizers": "--model.optimizer",
    "schedules": "--model.schedule",
    "augmentations": "data.augment",
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
    from ..cli.classes import SLOTS, class_parser

    key, table = KEYS[kind], TABLES[kind]
    if name not in table:
        raise UserError(f"list {kind}: unknown name {name!r}; {suggest(name, table, kind)}")
    slot = next(slot for _, slot in SLOTS if slot.table is table)
    parser, _ = class_parser(table[name][0], slot.skip)
    parser.usage = argparse.SUPPRESS
    text = re.sub(
        r",\s*known\s+subclasses:[^)]*", "", parser.format_help()
    )  # of nn.Module there are hundreds
    text = re.sub(
        r"^  (-h, )?--[\w.]*help\b.*\n(   +.*\n)*", "", text, flags=re.M
    )  # an option and the lines that go on
    lines = [line for line in text.splitlines() if line.strip()]
    print("\n".join([f"{key} {name}", *lines[1:]]))
    return 0
