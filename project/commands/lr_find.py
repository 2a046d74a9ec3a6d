"""`lr-find`: a learning rate for a configured run."""

from __future__ import annotations

from collections.abc import Sequence

from project.cli.arguments import merge, read_arguments

OPTIONS = ("--weights", "--fresh", "--min_lr", "--max_lr", "--steps", "--output")
HELP = """usage: python -m project lr-find [--config FILE]... [--KEY VALUE]...

Trains a few steps, in each of which the learning rate is higher than in the
last, and suggests a third of the rate at which the loss begins to rise again.
Takes every setting of fit; writes a picture and leaves nothing else behind.

  --steps 200         optimizer steps, each with another rate
  --min_lr 1e-6       the first rate
  --max_lr 10         the last one; the sweep ends when the loss runs away
  --output FILE       the picture; default: lr-find.png
  --weights RUN       begin with the weights of another run

  python -m project lr-find --config configs/lenet.yaml --model.optimizer SGD"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Sweep the learning rate, print a suggestion and draw the curve."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    request = read_arguments(command, arguments, OPTIONS, debug)
    merge(request)
    from project.cli.machine import quiet
    from project.studies.rate import find_rate

    with quiet(debug):
        return find_rate(request)
