"""sweep.html: what a sweep found, in one file that needs nothing beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ..reports import plots
from ..reports.page import page
from ..reports.parts import Code, Drawing, Section, Table
from ..runs.files import read_column, write_text
from .drawings import Axis, history, parallel, slices
from .results import Findings
from .space import as_label

CURVES = 10  # learning curves drawn


def write_page(found: Findings) -> Path:
    """Write sweep.html into the sweep's folder; returns its path."""
    path = found.folder / "sweep.html"
    best = found.rows[0]
    facts = {
        "trials": len(found.rows),
        **found.counts(),
        "monitor": found.monitor,
        "direction": found.direction,
    }
    metrics = {found.monitor: best["value"]} if best["value"] is not None else {}
    with plots.drawn(page=True):
        write_text(path, page(f"sweep {found.name}", sections(found), facts, metrics))
    return path


def sections(found: Findings) -> list[Section]:
    """The sections of the page."""
    several = ["seeds"] if any(row["seeds"] > 1 for row in found.rows) else []
    head = [
        "rank",
        "trial",
        "state",
        found.monitor,
        *several,
        *found.names.values(),
        "epochs",
        "seconds",
        "reason",
    ]
    rows = [
        [rank, row["trial"], row["state"], row["value"], *(row[name] for name in several)]
        + [shown(row["parameters"].get(key)) for key in found.names]
        + [row["epochs"], row["seconds"], row["reason"]]
        for rank, row in enumerate(found.rows, 1)
    ]
    made = [Section("Trials", [Table(head, rows)])]
    whole = sorted(
        (row for row in found.rows if row["state"] == "complete"), key=lambda row: row["trial"]
    )
    if len(whole) > 1:
        made.append(Section("What made the difference", list(differences(found, whole))))
    if lines := curves(found):
        drawing = plots.curves(lines, f"{found.monitor} of the {len(lines)} best", log=True)
        made.append(Section("Learning curves", [Drawing(drawing)]))
    made.append(Section("Again", [Code(found.retrain, title="The best with several seeds")]))
    return made


def differences(found: Findings, whole: list[dict[str, Any]]) -> list[Drawing]:
    values = np.array([row["value"] for row in whole])
    numbers = np.array([row["trial"] for row in whole])
    downwards = found.direction == "minimize"
    best = np.minimum.accumulate(values) if downwards else np.maximum.accumulate(values)
    parameters = {
        name: Axis(name, [shown(row["parameters"][key]) for row in whole], key in found.log)
        for key, name in found.names.items()
    }
    drawings = [Drawing(history(numbers, values, best, found.monitor))]
    if not found.importances:
        few = "Too few trials to say which setting matters most."
        drawings[0] = dataclasses.replace(drawings[0], note=few)
    else:
        names = [found.names[key] for key in found.importances]
        note = "The share of the variation of the better trials that each explains (PED-ANOVA)."
        bars = plots.bars(names, list(found.importances.values()), "Importance", "share")
        drawings.append(Drawing(bars, note=note))
    drawings.append(Drawing(parallel(parameters, values, found.monitor, downwards)))
    drawings.append(Drawing(slices(parameters, values, found.monitor)))
    return drawings


def shown(value: Any) -> Any:
    """A parameter's value as a number, or as its label."""
    return (
        value if isinstance(value, int | float) and not isinstance(value, bool) else as_label(value)
    )


def curves(found: Findings) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The monitored value of the best trials by epoch, as far as their folders are here."""
    lines = {}
    for row in found.rows[:CURVES]:
        values = np.array(read_column(Path(row["folder"]) / "epochs.csv", found.monitor))
        if row["folder"] and len(values):
            lines[f"trial {row['trial']}"] = (np.arange(1, len(values) + 1), values)
    return lines
