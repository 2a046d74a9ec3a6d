"""A sweep from its plan to its table."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from ..errors import UserError
from ..runs.files import write_text
from .plan import Plan
from .results import findings, retrain_command, rows, write_results
from .storage import Storage, open_storage
from .study import Study
from .watch import SweepDisplay, add, ranking
from .workers import InProcess, Workers


def run(plan: Plan, debug: bool, end: Callable[[Study], int] | None = None) -> int:
    """Run the trials that are left, and say what came of them, by `end` if that is given; returns
    the exit code.
    """
    crew = Workers(plan.workers) if plan.workers > 1 else InProcess(debug)
    storage: Storage | None = None
    try:
        monitor, direction = crew.check(plan)
        if any(plan.folder.glob("[0-9]*/run.json")) and not (plan.folder / "base.yaml").exists():
            raise UserError(
                f"{plan.folder} holds runs of fit; --name gives the sweep a folder of its own"
            )
        storage = open_storage(plan.storage, plan.folder, plan.name)
        make_folder(plan)
        study = Study(plan, storage, monitor, direction)
        write_text(plan.folder / "base.yaml", plan.base())
        print(
            f"sweep {plan.folder}: {study.planned()} trials, {plan.workers} at a time; the same "
            "command continues it",
            flush=True,
        )
        with SweepDisplay(study, plan.workers) as watch:
            stopped = crew.run(study, watch.look)
        write_results(study)
        if stopped:
            print(
                f"stopped; {len(watch.ended)} of {study.planned()} trials have ended, the same "
                "command continues the sweep"
            )
            return 128 + stopped
        if wants_page(plan):
            crew.draw(findings(study))
        return (end or conclude)(study)
    finally:
        crew.close()
        if storage is not None:
            storage.close()


def make_folder(plan: Plan) -> None:
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{plan.folder}: {error.strerror}; --run.root DIR puts it elsewhere"
        ) from None


def wants_page(plan: Plan) -> bool:
    run = plan.settings.tree.get("run") or {}
    return str(run.get("report", True)).lower() != "false"


def conclude(study: Study) -> int:
    """Print the ranking and what to do next.

    Raises:
        UserError: no trial has a value.
    """
    found, plan = rows(study), study.plan
    table = ranking(study)
    for rank, row in enumerate(found, 1):
        add(table, study, rank, row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 500  # nothing is cut off or wrapped in a pipe
    console.print(table)
    for row in found:
        if row["reason"]:
            print(f"trial {row['trial']} failed: {row['reason']}")
    print(f"table     {plan.folder / 'results.csv'}")
    if wants_page(plan):
        print(f"page      {plan.folder / 'sweep.html'}")
    if not (plan.folder / "best.yaml").is_file():
        failed = next((row for row in found if row["reason"]), None)
        raise UserError(
            f"no trial has a value; {failed['reason'] if failed else 'all were given up'}"
        )
    print(f"retrain   {retrain_command(study)}")
    print(f"look      tensorboard --logdir {plan.folder}")
    return 0
