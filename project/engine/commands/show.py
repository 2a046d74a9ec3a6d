"""`show`: the data of a config, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import merge, read_arguments

HELP = """usage: PROGRAM show [--config FILE]... [--data NAME] [--output FILE] [--KEY VALUE]...

Prints a table of the data, its splits, classes or columns, and draws the first training
batch before and after augmentation, as the network sees it.

  --output FILE   where the picture goes: .png (default: show.png), .svg or .pdf

  PROGRAM show --config configs/lenet.yaml
  PROGRAM show --data CIFAR10 --data.augment '[Crop, Flip]' --output batch.png"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Print the table, draw the batch."""
    request = read_arguments(command, arguments, ("--output",))
    merge(request)
    from ..cli.machine import quiet
    from ..reports.data import show

    with quiet(debug):
        show(request, Path(request.options.get("--output", "show.png")))
    return 0
