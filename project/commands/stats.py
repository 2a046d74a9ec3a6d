"""`stats`: what the inputs of some data are normalised by."""

from __future__ import annotations

from collections.abc import Sequence

from project.cli.arguments import merge, read_arguments

HELP = """usage: python -m project stats [--config FILE]... [--data NAME] [--data.KEY VALUE]...

Prints the mean and the standard deviation of each channel of images, scaled to
0..1, or of each numeric column of a table: over the samples that fit trains on,
and over the whole published training split.

  python -m project stats --data MNIST --data.root data
  python -m project stats --config configs/housing.yaml"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Print the statistics of the training split."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    request = read_arguments(command, arguments, (), debug)
    merge(request)
    from project.cli.machine import quiet
    from project.cli.statistics import statistics

    with quiet(debug):
        return statistics(request)
