"""`kfold`: cross-validation (Stone, 1974).

Each fold is a run of `fit`, tested on the samples it was not trained on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cli.arguments import CommandLine, config_text, merge, read_settings
from ..cli.evaluation import evaluate, load, prediction_columns
from ..cli.fitting import fit
from ..cli.machine import as_found, output_in
from ..cli.parser import ProjectCLI
from ..cli.screen import show_table
from ..cli.settings import Settings
from ..errors import UserError
from ..runs.files import csv_line, remove, write_atomic, write_json
from ..runs.folder import RunFolder
from .short import number_above

LOG = "output.txt"  # in the folder of each fold: what its run printed


def kfold(request: CommandLine) -> int:
    """Train and test every fold, print and keep the metrics; returns the exit code."""
    folds = int(number_above(request, "--folds", 5, 2))
    for key in ("data.fold", "data.folds"):
        if key in dict(request.assignments):
            raise UserError(f"--{key}: kfold sets it for each of its runs; --folds says how many")
    tree = ProjectCLI(merge(request), seeds=False).config_tree
    if request.print_config:
        print(config_text(tree), end="")
        return 0
    if str(tree["trainer"].get("devices")) not in ("auto", "1", "None"):
        raise UserError(
            "kfold trains on one device; with more, run the folds one by one: fit --data.folds 5 "
            "--data.fold 0 ..."
        )
    place = (
        request.path("--run") or Path(tree["run"]["root"]) / str(tree["name"]) / f"kfold-{folds}"
    )
    print(f"{folds} folds in {place}; if it is stopped, the same command continues it", flush=True)
    results = [
        one_fold(request, place / f"fold-{number}", folds, number) for number in range(folds)
    ]
    metrics = summary(results)
    count = write_predictions(
        [place / f"fold-{number}" for number in range(folds)], place / "predictions.csv"
    )
    write_json(place / "results.json", {"folds": folds, "samples": count, "metrics": metrics})
    show_table(
        ["", "mean", "deviation", "smallest", "largest"],
        [
            [name, *(f"{row[key]:.4f}" for key in ("mean", "std", "min", "max"))]
            for name, row in metrics.items()
        ],
    )
    print(
        f"{count:,} predictions in {place / 'predictions.csv'}, metrics in {place / 'results.json'}"
    )
    return 0


def one_fold(line: CommandLine, path: Path, folds: int, number: int) -> dict[str, float]:
    """Train and test one fold, or go on with it; returns its test metrics.

    Raises:
        UserError: the fold cannot be trained, or was begun with other settings.
    """
    fold = [("data.folds", str(folds)), ("data.fold", str(number))]
    settings = read_settings(line.configs, [*line.assignments, *fold])
    began, is_new = time.monotonic(), not path.exists()
    try:
        with output_in(path / LOG), as_found():
            fit(
                settings,
                run=path,
                weights=line.path("--weights"),
                fresh=line.options.get("--fresh"),
            )
            evaluate("test", path, Settings())
    except UserError as error:
        if is_new and not any(path.glob("checkpoints/*")):
            remove(path)
        raise UserError(
            f"fold {number}: {error.text}; other settings are another k-fold, in another folder: "
            "--run FOLDER"
        ) from error
    except SystemExit:
        print(f"stopped in fold {number}; the same command continues it", flush=True)
        raise
    metrics = json.loads(RunFolder(path).results.read_text())["test"]
    metrics = {name: value for name, value in metrics.items() if isinstance(value, float)}
    said = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    print(f"fold {number}  {said}  {time.monotonic() - began:.1f} s", flush=True)
    return metrics


def summary(results: Sequence[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Of each metric its mean, its standard deviation over the folds, the smallest, the largest,
    and all of them.
    """
    table = {name: np.array([metrics[name] for metrics in results]) for name in results[0]}
    return {
        name: {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)),
            "min": float(values.min()),
            "max": float(values.max()),
            "values": values.tolist(),
        }
        for name, values in table.items()
    }


def write_predictions(runs: Sequence[Path], path: Path) -> int:
    """What each run said of its fold, sorted by sample: predictions.csv; returns how many."""
    rows: list[list[Any]] = []
    for number, run in enumerate(runs):
        task = load(run)
        with np.load(RunFolder(run).predictions("test")) as kept:
            ids, targets, predictions = (
                torch.from_numpy(kept[key]) for key in ("id", "target", "prediction")
            )
        columns = prediction_columns(task, ids, targets, predictions)
        columns = {"id": columns.pop("id"), "fold": [number] * len(ids), **columns}
        rows += map(list, zip(*columns.values(), strict=True))
    rows.sort(key=lambda row: row[0])
    lines = [csv_line(row) for row in ([*columns], *rows)]
    write_atomic(path, lambda file: file.write(b"".join(lines)))
    return len(rows)
