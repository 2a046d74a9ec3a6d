"""`fit --seeds N`: the same config with several seeds, and what that says of the result."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ..cli.arguments import CommandLine, config_text, merge
from ..cli.machine import quiet
from ..cli.screen import show_table
from ..errors import UserError, clip
from ..formats import metric as figure
from ..registry import PROGRAM
from ..reports.run import Run
from ..reports.student import mean_of
from .plan import read_plan
from .results import rows
from .study import Study
from .sweep import run

NOT_WITH = ("--run", "--ckpt_path", "--weights", "--fresh")  # options of one run


def fit_seeds(line: CommandLine, seeds: str | None, workers: str, debug: bool) -> int:
    """Train once with each seed, from the config's on; the same command continues them.

    Each is a trial of a sweep over `seed_everything`, in runs/NAME/seeds-N.

    Raises:
        UserError: it is no number of seeds, or beside an option of one run.
    """
    from ..cli.parser import ProjectCLI

    if seeds is None:
        raise UserError("--workers is for --seeds N")
    if not seeds.isdecimal() or int(seeds) < 2:
        raise UserError(f"--seeds {clip(seeds)}: expected a whole number of 2 or more")
    if beside := [option for option in NOT_WITH if option in line.options]:
        raise UserError(f"{beside[0]} is of one run, and --seeds trains {seeds}")
    with quiet(debug):
        tree = ProjectCLI(merge(line), seeds=False).config_tree
    if line.print_config:
        print(config_text(tree), end="")
        return 0
    first = tree["seed_everything"]
    own = [
        ("space.seed_everything", str([first + i for i in range(int(seeds))])),
        ("workers", workers),
        ("name", f"seeds-{seeds}"),
        ("run.root", str(Path(tree["run"]["root"]) / str(tree["name"]))),
    ]
    given = [pair for pair in line.assignments if pair[0] not in ("name", "run.root")]
    plan = read_plan(dataclasses.replace(line, assignments=[*given, *own]))
    return run(plan, debug, print_mean)


def print_mean(study: Study) -> int:
    """Print the mean of each metric over the seeds, with its interval."""
    ended = [row for row in rows(study) if row["state"] == "complete"]
    runs = [Run(Path(row["folder"])) for row in ended]
    if not runs:
        raise UserError(f"{study.plan.folder}: no seed has ended")
    names = [name for name in runs[0].metrics if all(run.metric(name) is not None for run in runs)]
    table = []
    for name in sorted(names, key=lambda name: (name != runs[0].monitor, name)):
        values = [float(run.metric(name) or 0) for run in runs]
        mean = mean_of(values)
        interval = f"+- {figure(mean.half)}" if np.isfinite(mean.half) else ""
        table.append([name, figure(mean.value), interval, figure(min(values)), figure(max(values))])
    head = ["", "mean", "95% interval", "smallest", "largest"]
    show_table([f"{len(runs)} seeds", *head[1:]], table)
    print(f"runs      {study.plan.folder}")
    print(f"compare   {PROGRAM} compare {study.plan.folder} OTHER")
    return 0
