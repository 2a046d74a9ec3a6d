"""`compare`: which of some settings is better, over their seeds, and all their curves in one
picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import read_words
from ..errors import UserError
from ..registry import PROGRAM

HELP = """usage: PROGRAM compare RUNS RUNS... [--metric NAME] [--picture FILE [--curve NAME]]

  RUNS             run folders, folders of runs, or patterns; runs that differ only in their
                   seed are one group
  --metric NAME    what to compare; default: what the best checkpoint is chosen by
  --picture FILE   the curves of all groups in one picture: .png, .svg or .pdf
  --curve NAME     of the picture: train/loss (the default), val/accuracy, lr, ..."""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Print means with intervals and what can be claimed; draw the curves."""
    words, options = read_words(command, arguments, ("--metric", "--picture", "--curve"))
    if not words:
        raise UserError(f"compare needs runs: {PROGRAM} compare runs/lenet runs/mlp")
    if "--curve" in options and "--picture" not in options:
        raise UserError("--curve belongs to --picture FILE")
    from ..reports.compare import draw, group, print_comparison
    from ..reports.finding import find_runs

    groups = group(find_runs(words))
    print_comparison(groups, options.get("--metric"))
    if "--picture" in options:
        print(
            "picture   "
            f"{draw(groups, options.get('--curve', 'train/loss'), Path(options['--picture']))}"
        )
    return 0
