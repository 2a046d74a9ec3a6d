"""`stats`: what the inputs of some data are normalised by."""

from __future__ import annotations

from collections.abc import Sequence

from ..cli.arguments import merge, read_arguments

HELP = """usage: PROGRAM stats [--config FILE]... [--data NAME] [--data.KEY VALUE]...

Prints the mean and the standard deviation of each channel of images, scaled to
0..1, or of each numeric column of a table: over the samples that fit trains on,
and over the whole published training split.

  PROGRAM stats --data MNIST --data.root data
  PROGRAM stats --config configs/housing.yaml"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Print the statistics of the training split."""
    request = read_arguments(command, arguments, ())
    merge(request)
    from ..cli.machine import quiet
    from ..cli.statistics import statistics

    with quiet(debug):
        return statistics(request)
