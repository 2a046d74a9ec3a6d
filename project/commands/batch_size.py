"""`batch-size`: which batch size trains fastest on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from project.cli.arguments import merge, read_arguments

OPTIONS = ("--min_batch", "--max_batch", "--rounds", "--output")
HELP = """usage: python -m project batch-size [--config FILE]... [--KEY VALUE]...

Times training steps of the configured run at powers of two, until the memory or
the training split ends, and names the smallest batch size within 5 % of the best
throughput. Writes a picture and leaves nothing else behind.

  --min_batch 8       the smallest size
  --max_batch 4096    the largest; on a GPU there is no limit but its memory
  --rounds 3          how often each size is timed, the sizes up and down in
                      turn; the fastest round counts
  --output FILE       the picture; default: batch-size.png

  python -m project batch-size --config configs/lenet.yaml"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Time several batch sizes, print a table and draw it."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    request = read_arguments(command, arguments, OPTIONS, debug)
    merge(request)
    from project.cli.machine import quiet
    from project.studies.batch import find_size

    with quiet(debug):
        return find_size(request)
