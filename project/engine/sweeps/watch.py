"""What a person sees of a sweep: one table that lives in a terminal; in a pipe, a line for each
trial that ends.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..formats import duration
from .order import Outcome, Report, TrialSpec
from .results import rows
from .space import as_label, in_words
from .study import Study


@dataclass
class Running:
    """A trial that this process runs."""

    order: TrialSpec
    began: float
    report: Report | None = None

    @property
    def share(self) -> float:
        """How much of it is done, as far as its epochs tell."""
        return self.report.epoch / self.report.epochs if self.report and self.report.epochs else 0.0


class SweepDisplay:
    """Follows the trials.

    Args:
        study: Where they are remembered.
        workers: How many run at a time.
    """

    def __init__(self, study: Study, workers: int) -> None:
        self.study, self.workers = study, workers
        self.running: dict[int, Running] = {}
        self.rows = rows(study)
        self.began, self.looked = time.monotonic(), 0.0
        # A handle of its own, because a trial in this process prints into a file.
        self.console = Console(file=os.fdopen(os.dup(sys.stdout.fileno()), "w"), highlight=False)
        self.live: Live | None = None

    def __enter__(self) -> SweepDisplay:
        if self.console.is_terminal:
            self.live = Live(
                console=self.console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.update("", refresh=True)
            self.live.stop()
        self.console.file.close()

    def begun(self, order: TrialSpec) -> None:
        self.running[order.number] = Running(order, time.monotonic())
        self.look(0)

    def reported(self, order: TrialSpec, report: Report) -> None:
        self.running[order.number].report = report
        self.look(0.2)

    def ended(self, order: TrialSpec, outcome: Outcome) -> None:
        del self.running[order.number]
        self.rows = rows(self.study)
        if self.live is None and outcome.state != "interrupted":
            ended, planned = self.count(), self.study.plan.trials
            value = "" if outcome.value is None else f"  {self.study.monitor} {outcome.value:.4f}"
            told = f"  {outcome.reason}" if outcome.reason else ""
            words = in_words(order.parameters, self.study.names)
            line = (
                f"{ended}/{planned}  trial {order.number}  {words}  {outcome.state}{value}  "
                f"{outcome.seconds:.1f} s{told}"
            )
            self.console.file.write(line + "\n")
            self.console.file.flush()
        self.look(0)

    def look(self, every: float = 1.0) -> None:
        """Draw the table anew, at most so often."""
        if self.live is not None and time.monotonic() - self.looked >= every:
            self.looked = time.monotonic()
            self.live.update(self.table(), refresh=True)

    def count(self) -> int:
        """How many trials have ended."""
        return sum(row["state"] in ("complete", "pruned", "failed") for row in self.rows)

    def table(self) -> Table:
        """The trials that run, then the best of those that have ended, as many as the terminal has
        room for.
        """
        table = ranking(self.study)
        table.caption, table.caption_justify = self.summary(), "left"
        for one in self.running.values():
            report = one.report
            done = f"{report.epoch}/{report.epochs or '?'}" if report else ""
            value = f"{report.value:.4f}" if report and report.value is not None else ""
            parameters = [as_label(value) for value in one.order.parameters.values()]
            seconds = f"{time.monotonic() - one.began:.0f}"
            table.add_row(
                "",
                str(one.order.number),
                "running",
                value,
                *parameters,
                done,
                seconds,
                style="cyan",
            )
        ended = [row for row in self.rows if row["state"] in ("complete", "pruned", "failed")]
        for rank, row in enumerate(ended[: max(3, self.console.height - len(self.running) - 6)], 1):
            add(table, self.study, rank, row)
        return table

    def summary(self) -> str:
        """How far the sweep is, what is best, how long it takes yet."""
        ended, planned = self.count(), self.study.plan.trials
        said = [f"{ended} of {planned} ended"]
        best = next((row for row in self.rows if row["state"] == "complete"), None)
        if best:
            said.append(f"best {self.study.monitor} {best['value']:.4f} (trial {best['trial']})")
        seconds = [row["seconds"] for row in self.rows if row["state"] in ("complete", "pruned")]
        if seconds:
            left = planned - ended - sum(one.share for one in self.running.values())
            said.append(f"about {duration(left * sum(seconds) / len(seconds) / self.workers)} left")
        return "   ".join(said)


def ranking(study: Study) -> Table:
    """A table of trials without its rows."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("rank", "trial", "state", study.monitor):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    for parameter in study.plan.space.parameters:
        table.add_column(study.names[parameter.key])
    table.add_column("epochs", justify="right")
    table.add_column("seconds", justify="right")
    return table


def add(table: Table, study: Study, rank: int, row: dict[str, Any]) -> None:
    value = "" if row["value"] is None else f"{row['value']:.4f}"
    parameters = [as_label(row["parameters"].get(p.key)) for p in study.plan.space.parameters]
    style = {"failed": "red", "pruned": "dim"}.get(row["state"], "green" if rank == 1 else "")
    table.add_row(
        str(rank),
        str(row["trial"]),
        row["state"],
        value,
        *parameters,
        str(row["epochs"]),
        f"{row['seconds']:.1f}",
        style=style,
    )
