"""`show`: the data of a config, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from project.cli.arguments import merge, read_arguments

HELP = """usage: python -m project show [--config FILE]... [--data NAME] [--output FILE] [--KEY VALUE]...

Prints a table of the data, its splits, classes or columns, and draws the first training batch before and after
augmentation, as the network sees it.

  --output FILE   where the picture goes: .png (default: show.png), .svg or .pdf

  python -m project show --config configs/lenet.yaml
  python -m project show --data CIFAR10 --data.augment '[Crop, Flip]' --output batch.png"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Print the table, draw the batch."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    request = read_arguments(command, arguments, ("--output",), debug)
    merge(request)
    from project.cli.machine import quiet
    from project.reports.data import show

    with quiet(debug):
        show(request, Path(request.options.get("--output", "show.png")))
    return 0
