"""`show` and `stats`: the data of a config, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import merge, read_arguments

SHOW = """usage: PROGRAM show [--config FILE]... [--data NAME] [--output FILE] [--KEY VALUE]...

Prints the splits of the data, its classes or columns and what its inputs are normalised by, and
draws the first training batch before and after augmentation, as the network sees it.

  --output FILE   where the picture goes: .png (default: show.png), .svg or .pdf

  PROGRAM show --config configs/lenet.yaml
  PROGRAM show --data CIFAR10 --data.augment '[Crop, Flip]' --output batch.png"""
STATS = """usage: PROGRAM stats [--config FILE]... [--data NAME] [--data.KEY VALUE]...

Prints what `show` prints, without a picture: among it the mean and the standard deviation of each
channel of images, scaled to 0..1, or of each numeric column of a table, over the samples that fit
trains on and over the whole published training split.

  PROGRAM stats --data MNIST --data.root data"""
HELP = {"show": SHOW, "stats": STATS}


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Print the tables, and draw the batch."""
    line = read_arguments(command, arguments, ("--output",) if command == "show" else ())
    settings = merge(line)
    from ..cli.machine import quiet
    from ..cli.parser import parse
    from ..reports.data import show

    with quiet(debug):
        cli = parse(settings, line.print_config)
        if cli is not None:
            cli.build()
            picture = line.path("--output") or Path("show.png")
            show(cli.datamodule, picture if command == "show" else None)
    return 0
