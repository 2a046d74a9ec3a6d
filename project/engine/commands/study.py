"""`lr-find`, `batch-size` and `kfold`: a configured run trained for another end than its
weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ..cli.arguments import merge, read_arguments

STUDIES = {  # command -> (module, function, the options it takes beside those of fit)
    "lr-find": (
        "..studies.rate",
        "find_rate",
        ("--weights", "--fresh", "--min_lr", "--max_lr", "--steps", "--output"),
    ),
    "batch-size": (
        "..studies.batch",
        "find_size",
        ("--min_batch", "--max_batch", "--rounds", "--output"),
    ),
    "profile": ("..studies.profile", "profile", ("--weights", "--fresh", "--steps", "--output")),
    "check": ("..studies.check", "check", ()),
    "baseline": ("..studies.baseline", "baseline", ("--output",)),
    "kfold": ("..studies.folds", "kfold", ("--folds", "--run", "--weights", "--fresh")),
}

LR_FIND = """usage: PROGRAM lr-find [--config FILE]... [--KEY VALUE]...

Trains a few steps, in each of which the learning rate is higher than in the
last, and suggests a third of the rate at which the loss begins to rise again.
Takes every setting of fit; writes a picture and leaves nothing else behind.

  --steps 200         optimizer steps, each with another rate
  --min_lr 1e-6       the first rate
  --max_lr 10         the last one; the sweep ends when the loss runs away
  --output FILE       the picture; default: lr-find.png
  --weights RUN       begin with the weights of another run

  PROGRAM lr-find --config configs/lenet.yaml --model.optimizer SGD"""

BATCH_SIZE = """usage: PROGRAM batch-size [--config FILE]... [--KEY VALUE]...

Times training steps of the configured run at powers of two, until the memory or
the training split ends, and names the smallest batch size within 5 % of the best
throughput. Writes a picture and leaves nothing else behind.

  --min_batch 8       the smallest size
  --max_batch 4096    the largest; on a GPU there is no limit but its memory
  --rounds 3          how often each size is timed, the sizes up and down in
                      turn; the fastest round counts
  --output FILE       the picture; default: batch-size.png

  PROGRAM batch-size --config configs/lenet.yaml"""

KFOLD = """usage: PROGRAM kfold [--config FILE]... [--folds 5] [--KEY VALUE]...

Divides the training split into equal folds, evenly of every class, trains as
often and tests each time on the fold that was left out. Prints the metrics of
each fold, their mean and deviation. The folder gets them as results.json, and
as predictions.csv what was said of each sample by the run that had not seen it.
A fold is a run like any other: fit --data.folds 5 --data.fold 0. The same
command again continues what was stopped.

  --folds 5           how many
  --run FOLDER        where the runs go; default: runs/NAME/kfold-5
  --weights RUN       begin each with the weights of another run

  PROGRAM kfold --config configs/iris.yaml --folds 5"""

PROFILE = """usage: PROGRAM profile [--config FILE]... [--KEY VALUE]...

Trains some steps as fit does, with everything on, and says where the time of a
step goes: reading, preparation, forward, backward, optimizer, records, and the
framework around them; which of torch's operations take longest; what to change.
Writes a picture and leaves nothing else behind.

  --steps 100         training steps that are timed
  --output FILE       the picture; default: profile.png

  PROGRAM profile --config configs/lenet.yaml"""

BASELINE = """usage: PROGRAM baseline [--config FILE]... [--KEY VALUE]...

Fits what one line of scikit-learn is on the same splits: the most frequent class
or the mean, a linear model, gradient boosting on tables, the nearest three on
small images. Prints the metrics of the task and keeps them; the reports of runs
on the same data show them. Takes every setting of fit.

  --output FILE       default: runs/NAME/baseline.json

  PROGRAM baseline --config configs/iris.yaml"""

CHECK = """usage: PROGRAM check [--config FILE]... [--KEY VALUE]...

Looks at data, settings and the first steps of a config before a long run: copies
across splits, rare classes, constant columns and columns that give the target
away, monitors that nothing reports, a schedule that does not fit the length,
whether one batch can be learnt by heart, units that never answer, gradients that
fade, and the time a run will take. Leaves nothing behind.

  PROGRAM check --config configs/lenet.yaml"""

HELP = {
    "check": CHECK,
    "baseline": BASELINE,
    "profile": PROFILE,
    "lr-find": LR_FIND,
    "batch-size": BATCH_SIZE,
    "kfold": KFOLD,
}


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Make the study and say what it found; returns the exit code."""
    module, function, options = STUDIES[command]
    request = read_arguments(command, arguments, options)
    merge(request)  # mistakes in files and names are answered before torch is imported
    from ..cli.machine import quiet

    with quiet(debug):
        return getattr(importlib.import_module(module, __package__), function)(request)
