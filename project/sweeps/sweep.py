"""A sweep from its plan to its table."""

from __future__ import annotations

import sys
from functools import partial

from project.cli.machine import available_cores
from project.errors import UserError
from project.runs.files import write_text
from project.sweeps.check import check
from project.sweeps.order import Order, Outcome
from project.sweeps.plan import Plan
from project.sweeps.results import retrain_command, rows, write_results
from project.sweeps.space import in_words
from project.sweeps.storage import open_storage
from project.sweeps.study import Study
from project.sweeps.trial import run_trial


def run(plan: Plan, debug: bool) -> int:
    """Run the trials that are left; returns the exit code."""
    monitor, direction = check(plan, debug)
    if plan.folder.is_dir() and any(plan.folder.glob("[0-9]*/run.json")) and not (plan.folder / "base.yaml").exists():
        raise UserError(f"{plan.folder} holds runs of fit; --name gives the sweep a folder of its own")
    storage = open_storage(plan.storage, plan.folder, plan.name)
    try:
        study = Study(plan, storage, monitor, direction, threads(plan))
        write_text(plan.folder / "base.yaml", plan.base())
        while (order := study.claim()) is not None:
            outcome = run_trial(order, partial(study.reported, order))
            study.ended(order, outcome)
            print(line(study, order, outcome), flush=True)
            if outcome.state == "interrupted":
                print("stopped; the same command continues the sweep")
                return 130
        write_results(study)
        return conclude(study)
    finally:
        storage.close()


def threads(plan: Plan) -> int:
    """CPU threads of a trial: as asked for, or the cores divided among the workers."""
    run = plan.settings.tree.get("run") or {}
    return int(run.get("threads") or max(1, available_cores() // plan.workers))


def line(study: Study, order: Order, outcome: Outcome) -> str:
    said = "" if outcome.value is None else f"{study.monitor} {outcome.value:.4f}"
    return f"trial {order.number}  {in_words(order.parameters, study.names)}  {outcome.state}  {said}{outcome.reason}"


def conclude(study: Study) -> int:
    """Print the table and what to do next."""
    for rank, row in enumerate(rows(study), 1):
        value = "" if row["value"] is None else f"{row['value']:.4f}"
        print(f"{rank:>4}  {row['trial']:>4}  {row['state']:<9} {value:>9}  {in_words(row['parameters'], study.names)}")
    print(f"retrain   {retrain_command(study)}")
    sys.stdout.flush()
    return 0
