"""What a person sees of a sweep: one table that lives in a terminal; in a pipe, a line for each
trial that ends.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..formats import duration
from .results import rows, trial_rows
from .space import as_label, in_words
from .study import Study

ENDED = ("complete", "pruned", "failed")


class SweepDisplay:
    """Follows the trials of a sweep in its storage, whoever runs them.

    Args:
        study: Where they are remembered.
        workers: How many run at a time.
    """

    def __init__(self, study: Study, workers: int) -> None:
        self.study, self.workers = study, workers
        self.trials = trial_rows(study)
        self.ended = {row["trial"] for row in self.trials if row["state"] in ENDED}
        self.seen: dict[tuple[int, str], float] = {}  # (trial, process that runs it) -> since when
        # A handle of its own, because a trial in this process prints into a file.
        self.console = Console(file=os.fdopen(os.dup(sys.stdout.fileno()), "w"), highlight=False)
        self.live = Live(
            console=self.console,
            get_renderable=self.table,
            refresh_per_second=1,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> SweepDisplay:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live.is_started:
            self.live.update("", refresh=True)
            self.live.stop()
        self.console.file.close()

    def look(self) -> None:
        """Read what has changed; in a pipe, write a line for each trial that has ended."""
        self.trials = trial_rows(self.study)
        for row in self.trials:
            if row["state"] == "running":
                self.seen.setdefault((row["trial"], row["owner"]), time.monotonic())
            elif row["state"] in ENDED and row["trial"] not in self.ended:
                self.ended.add(row["trial"])
                if not self.live.is_started:
                    self.console.file.write(self.line(row) + "\n")
                    self.console.file.flush()

    def line(self, row: dict[str, Any]) -> str:
        value = "" if row["best"] is None else f"  {self.study.monitor} {row['best']:.4f}"
        seed = f"  seed {self.study.plan.seed + row['seed']}" if row["seed"] else ""
        reason = f"  {row['reason']}" if row["reason"] else ""
        return (
            f"{len(self.ended)}/{self.study.planned()}  trial {row['trial']}  "
            f"{in_words(row['parameters'], self.study.names)}{seed}  {row['state']}{value}  "
            f"{row['seconds']:.1f} s{reason}"
        )

    def running(self) -> list[dict[str, Any]]:
        return [one for one in self.trials if one["state"] == "running" and one["owner"]]

    def table(self) -> Table:
        """The trials that run, then the best of those that have ended, as many as the terminal has
        room for.
        """
        table = ranking(self.study)
        table.caption, table.caption_justify = self.summary(), "left"
        running = self.running()
        for row in running:
            done = f"{row['epochs']}/{row['planned'] or '?'}" if row["epochs"] else ""
            since = self.seen.get((row["trial"], row["owner"]), time.monotonic())
            table.add_row(
                "",
                str(row["trial"]),
                "running",
                "" if row["best"] is None else f"{row['best']:.4f}",
                *([str(row["seed"] + 1)] if self.study.plan.seeds > 1 else []),
                *(as_label(value) for value in row["parameters"].values()),
                done,
                f"{time.monotonic() - since:.0f}",
                style="cyan",
            )
        ended = [one for one in rows(self.study) if one["state"] in ENDED]
        for rank, row in enumerate(ended[: max(3, self.console.height - len(running) - 6)], 1):
            add(table, self.study, rank, row)
        return table

    def summary(self) -> str:
        """How far the sweep is, what is best, how long it takes yet."""
        planned = self.study.planned()
        parts = [f"{len(self.ended)} of {planned} ended"]
        best = next((one for one in rows(self.study) if one["state"] == "complete"), None)
        if best:
            parts.append(f"best {self.study.monitor} {best['value']:.4f} (trial {best['trial']})")
        seconds = [one["seconds"] for one in self.trials if one["state"] in ENDED[:2]]
        if seconds:
            begun = sum(row["epochs"] / row["planned"] for row in self.running() if row["planned"])
            left = (planned - len(self.ended) - begun) * sum(seconds) / len(seconds)
            parts.append(f"about {duration(left / self.workers)} left")
        return "   ".join(parts)


def ranking(study: Study) -> Table:
    """A table of trials without its rows."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("rank", "trial", "state", study.monitor):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    if study.plan.seeds > 1:
        table.add_column("seeds", justify="right")
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
        *([str(row["seeds"])] if study.plan.seeds > 1 else []),
        *parameters,
        str(row["epochs"]),
        f"{row['seconds']:.1f}",
        style=style,
    )
