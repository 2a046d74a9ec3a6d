"""Many runs as one table: the settings that differ as columns, and the metrics. It needs no torch
and no drawing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..cli.screen import show_table
from ..errors import UserError, clip, suggest
from ..formats import setting
from ..runs.files import csv_line, write_atomic, write_text
from .run import Run

NO_HYPERPARAMETERS = (
    "name",
    "run.",
    "seed_everything",
    "data.root",
    "trainer.default_root_dir",
)  # where, not what
FACTS = ("parameters", "steps", "epochs", "seconds")
WIDEST = 34  # characters of a cell in the terminal
NARROW = 80  # columns of a pipe


@dataclass
class Rows:
    """A row for each run: values by column, None where a run has none."""

    columns: list[str]
    rows: list[dict[str, Any]]
    settings: list[str]  # the columns that are settings, the important ones first
    rare: set[str]  # settings that some runs do not have and that nobody gave on a command line
    metrics: list[str]  # those that are metrics, the important ones first
    falling: set[str]  # the metrics that should be small

    def sort(self, column: str) -> None:
        """The best first, or, of a column that is no metric, the smallest; runs without a value
        last.

        Raises:
            UserError: there is no such column.
        """
        names = (
            {column}
            if column in self.columns
            else {name for name in self.settings if name.endswith(f".{column}")}
        )
        if len(names) != 1:
            raise UserError(
                f"--sort {column}: no such column; {suggest(column, self.columns, 'columns')}"
            )
        key = names.pop()
        there = [row for row in self.rows if row[key] is not None]
        down = key in self.metrics and key not in self.falling
        if not all(isinstance(row[key], (int, float)) for row in there):
            there.sort(key=lambda row: str(row[key]), reverse=down)
        else:
            there.sort(key=lambda row: row[key], reverse=down)
        self.rows = there + [row for row in self.rows if row[key] is None]


def gather(paths: Iterable[Path]) -> Rows:
    """The table of these run folders; one that cannot be read is a row that says why."""
    runs: list[tuple[Path, Run | None, str]] = []
    for path in paths:
        try:
            run = Run(path)
            _ = run.results, run.metrics, run.description, run.settings
            runs.append((path, run, ""))
        except UserError as error:
            runs.append((path, None, str(error).removeprefix(f"{path}: ")))
    whole = [run for _, run, _ in runs if run is not None]
    settings = differing(whole)
    metrics = ordered_metrics(whole)
    facts = [name for name in FACTS if any(name in run.results for run in whole)]
    rare = {name for name in settings if is_rare(name, whole)}
    main = [name for name in settings if name not in rare]
    columns = [
        "run",
        "state",
        "reason",
        *main,
        "seed",
        *metrics,
        *facts,
        *sorted(rare, key=settings.index),
        "commit",
        "folder",
    ]
    rows = [row(path, run, reason, columns, settings, metrics) for path, run, reason in runs]
    falling = {name for name in metrics for run in whole[:1] if run.mode(name) == "min"}
    return Rows(columns, rows, settings, rare, metrics, falling)


def row(
    path: Path,
    run: Run | None,
    reason: str,
    columns: list[str],
    settings: list[str],
    metrics: list[str],
) -> dict[str, Any]:
    """One run's values."""
    values: dict[str, Any] = dict.fromkeys(columns)
    values |= {"run": "/".join(path.absolute().parts[-2:]), "folder": str(path)}
    if run is None:
        return values | {"state": "unreadable", "reason": reason}
    values |= {
        "state": run.state,
        "seed": run.seed,
        "commit": (run.description.get("git") or {}).get("commit"),
    }
    values |= {name: plain_value(run.settings[name]) for name in settings if name in run.settings}
    values |= {name: run.metric(name) for name in metrics}
    return values | {name: run.results.get(name) for name in FACTS if name in columns}


def plain_value(value: Any) -> Any:
    """A setting as a number or a text."""
    return (
        value if isinstance(value, (int, float)) and not isinstance(value, bool) else setting(value)
    )


def differing(runs: list[Run]) -> list[str]:
    """The settings that are not the same in all runs: first those given on a command line, then
    those that all runs have.
    """
    names = dict.fromkeys(
        name for run in runs for name in run.settings if not name.startswith(NO_HYPERPARAMETERS)
    )
    differ = [
        name
        for name in names
        if len({setting(run.settings[name]) if name in run.settings else None for run in runs}) > 1
    ]
    given = {name for run in runs for name in run.description.get("overrides") or ()}
    return sorted(differ, key=lambda name: (name not in given, is_rare(name, runs)))


def is_rare(name: str, runs: list[Run]) -> bool:
    """Whether some runs do not have a setting, and it was given on none of the command lines."""
    return not all(name in run.settings for run in runs) and not any(
        name in (run.description.get("overrides") or ()) for run in runs
    )


def ordered_metrics(runs: list[Run]) -> list[str]:
    """The names of all final metrics: what is monitored, the test's, the other validation's, those
    of training.
    """
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    monitored = Counter(run.monitor for run in runs)
    bases = {name.partition("/")[2] for name in monitored}
    order = {"test": 0, "val": 1, "train": 2}

    def rank(name: str) -> tuple[int, bool, int, str]:
        split, _, base = name.partition("/")
        return -monitored[name], base not in bases, order.get(split, 3), name

    return sorted(names, key=rank)


# ---------------------------------------------------------------------- the terminal


def print_table(table: Rows) -> None:
    """As much of the table as fits the terminal, and what of it does not."""
    width = shutil.get_terminal_size((NARROW, 24)).columns if sys.stdout.isatty() else NARROW
    chosen, left_out = fitting(table, width)
    numeric = [
        name for name in chosen if any(isinstance(row[name], (int, float)) for row in table.rows)
    ]
    in_order = [*(name for name in chosen if name not in numeric), *numeric]
    show_table(
        [short(name, table.settings) for name in in_order],
        [[cell(row[name]) for name in in_order] for row in table.rows],
        left=len(chosen) - len(numeric),
        width=width,
        widest=WIDEST,
    )
    for row in table.rows:
        if row["reason"]:
            print(f"{row['run']}: {row['reason']}")
    if left_out:
        print(
            f"{len(left_out)} columns do not fit ({clip(', '.join(left_out), 2 * width)}): "
            "--output runs.html, .csv or .json"
        )


def fitting(table: Rows, width: int) -> tuple[list[str], list[str]]:
    """The columns for a terminal of so many characters, in their order, and the settings and
    metrics that are left out.
    """
    unfinished = any(row["state"] != "finished" for row in table.rows)
    several_seeds = len({row["seed"] for row in table.rows}) > 1
    main = [name for name in table.settings if name not in table.rare]
    wanted = ["run", *(["state"] if unfinished else []), *table.metrics[:2], *main]
    wanted += [
        *(["seed"] if several_seeds else []),
        *table.metrics[2:],
        *(name for name in FACTS if name in table.columns),
    ]
    wanted += sorted(table.rare, key=table.columns.index)
    chosen, room = [], width
    for name in wanted:
        texts = [short(name, table.settings), *(cell(row[name]) for row in table.rows)]
        needed = min(WIDEST, max(map(len, texts))) + 3
        if needed <= room:
            chosen.append(name)
            room -= needed
    left_out = [
        name
        for name in (*table.settings, *table.metrics)
        if name not in chosen and not name.startswith("train/")
    ]
    return [name for name in table.columns if name in chosen], left_out


def short(name: str, among: list[str]) -> str:
    """The last words of a key, as few as tell it from the others."""
    parts = name.split(".")
    for size in range(1, len(parts)):
        end = ".".join(parts[-size:])
        if sum(other == end or other.endswith(f".{end}") for other in among) <= 1:
            return end
    return name


def cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 or value % 1 else f"{value:.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


# ---------------------------------------------------------------------- files


def save_table(table: Rows, path: Path) -> Path:
    """Write the whole table; the ending of the file says how.

    Raises:
        UserError: an unknown ending, or the file cannot be written.
    """
    if path.suffix not in WRITERS:
        raise UserError(
            f"--output {path}: unknown ending {path.suffix!r}; a table is written as "
            f"{', '.join(WRITERS)}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {path}: {error.strerror}") from None
    WRITERS[path.suffix](table, path)
    return path


def save_csv(table: Rows, path: Path) -> None:
    lines = [csv_line(table.columns)]
    lines += [
        csv_line(["" if row[name] is None else row[name] for name in table.columns])
        for row in table.rows
    ]
    write_atomic(path, lambda file: file.write(b"".join(lines)))


def save_json(table: Rows, path: Path) -> None:
    write_text(path, json.dumps(table.rows, indent=2, ensure_ascii=False) + "\n")


def save_html(table: Rows, path: Path) -> None:
    """A table that its reader can sort, each run leading to its page."""
    from .templates import render

    columns = [
        name
        for name in table.columns
        if name != "reason" or any(row["reason"] for row in table.rows)
    ]
    here = path.absolute().parent
    links = []
    for row in table.rows:
        page = Path(row["folder"]).absolute() / "report.html"
        links.append(quote(os.path.relpath(page, here)) if page.is_file() else "")
    write_text(
        path,
        render(
            "table.html",
            title=f"{len(table.rows)} runs",
            columns=columns,
            rows=table.rows,
            links=links,
        ),
    )


WRITERS = {".csv": save_csv, ".json": save_json, ".html": save_html}
