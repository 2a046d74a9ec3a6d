"""`kfold`: cross-validation, a run for each fold."""

from __future__ import annotations

from collections.abc import Sequence

from project.cli.arguments import merge, read_arguments

OPTIONS = ("--folds", "--run", "--weights", "--fresh")
HELP = """usage: python -m project kfold [--config FILE]... [--folds 5] [--KEY VALUE]...

Divides the training split into equal folds, evenly of every class, trains as
often and tests each time on the fold that was left out. Prints the figures of
each fold, their mean and deviation. The folder gets them as results.json, and
as predictions.csv what was said of each sample by the run that had not seen it.
A fold is a run like any other: fit --data.folds 5 --data.fold 0. The same
command again continues what was stopped.

  --folds 5           how many
  --run FOLDER        where the runs go; default: runs/NAME/kfold-5
  --weights RUN       begin each with the weights of another run

  python -m project kfold --config configs/iris.yaml --folds 5"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Train and test every fold, and put the figures together."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    request = read_arguments(command, arguments, OPTIONS, debug)
    merge(request)
    from project.cli.machine import quiet
    from project.studies.folds import kfold

    with quiet(debug):
        return kfold(request)
