"""A run as it lies on disk, read when asked for: nothing here needs torch, so that hundreds of runs
are a table in a moment.
"""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cli.arguments import leaves_with_class
from ..cli.yamltext import read_yaml
from ..errors import UserError
from ..formats import better
from ..runs.folder import RunFolder

if TYPE_CHECKING:
    from ..spec import DataSpec  # it imports torch

PARTS = {
    "config.yaml",
    "run.json",
    "metrics.csv",
    "checkpoints",
}  # a folder that has one of these is a run's
# Tasks whose predictions are not drawn as their target's kind is, where run.json does not say so.
EARLIER = {"Embedding": "embedding", "MetricLearning": "embedding", "Ranking": "ranking"}

# What the files of a run hold, as far as it is read; a file that holds anything else is damaged.
DESCRIPTION: dict[str, type] = {
    **dict.fromkeys(("overrides", "spec", "data", "git", "initialised", "weights"), dict),
    **dict.fromkeys(("configs", "layers"), list),
    **dict.fromkeys(("state", "task", "net", "monitor", "monitor_mode", "command", "report"), str),
    "seed": int,
}
Kinds = dict[str, type | tuple[type, ...]]
# of each row of `layers`, and of each parameter in `initialised`
LAYER: Kinds = {"name": str, "kind": str, "output": (list, type(None)), "parameters": int}
WEIGHT: Kinds = {"shape": list, **dict.fromkeys(("mean", "std", "min", "max"), (int, float))}
RESULTS: dict[str, type] = {
    **dict.fromkeys(("best", "last", "val", "test", "importance"), dict),
    **dict.fromkeys(("parameters", "steps", "epochs"), int),
}

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Predictions:
    """What a run said of a split: (N,) ids, targets (N, ...) and predictions (N, ...)."""

    id: np.ndarray
    target: np.ndarray
    prediction: np.ndarray


class Run:
    """The folder of a run.

    Raises:
        UserError: it is no run folder, an empty or a half written one; any attribute: that file
            cannot be understood.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(path)
        self.path = self.folder.path
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such run folder")
        names = {entry.name for entry in self.path.iterdir()}
        if not names:
            raise UserError(f"{self.path}: an empty folder; no run has begun there")
        if not names & PARTS:
            raise UserError(f"{self.path}: not a run folder, it has no {self.folder.config.name}")
        for part in (self.folder.config, self.folder.description):
            if part.name not in names:
                raise UserError(
                    f"{self.path}: half written, it has no {part.name}; fit --run may continue it"
                )
        missing = {"data", "model"} - set(self.config)
        if missing:
            raise UserError(
                f"{self.folder.config}: no {' and no '.join(sorted(missing))}; was another "
                "version's run written here?"
            )

    def __str__(self) -> str:
        return str(self.path)

    # ------------------------------------------------------------------ what was asked for

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The whole effective config, with short names of classes."""
        return read_yaml(self._text(self.folder.config), str(self.folder.config))

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The config as dotted keys, a class's name standing at the key of its place."""
        settings = {".".join(path): value for path, value in leaves_with_class(self.config)}
        if settings.get("trainer.devices") == "auto" and self.description.get("gpu", "") is None:
            settings["trainer.devices"] = 1  # what it comes to on a CPU
        return settings

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """run.json: the command, versions, git, state."""
        found = self._json(self.folder.description, DESCRIPTION)
        weights = (found.get("initialised") or {}).get("layers") or {}
        tables = {
            "layers": (found.get("layers") or [], LAYER),
            "initialised": (list(weights.values()) if isinstance(weights, dict) else [0], WEIGHT),
        }
        for name, (rows, keys) in tables.items():
            if not all(_is_row(row, keys) for row in rows):
                raise UserError(
                    f"{self.folder.description}: {name} is not what this version writes there"
                )
        return found

    @property
    def seed(self) -> int | None:
        return self.description.get("seed", self.config.get("seed_everything"))

    @property
    def name(self) -> str:
        return str(self.config.get("name") or self.path.parent.name)

    @functools.cached_property
    def task(self) -> str:
        """The short name of the task's class."""
        written = (
            self.config["model"].get("class_path", "")
            if isinstance(self.config["model"], dict)
            else ""
        )
        return str(self.description.get("task") or written.rpartition(".")[2])

    @functools.cached_property
    def spec(self) -> DataSpec | None:
        """The description of the data; of an older run from its best checkpoint, None where there
        is neither.
        """
        from ..spec import DataSpec

        values = self.description.get("spec")
        if values is None and self.folder.best.is_file():
            from ..runs.checkpoints import read

            values = read(self.folder.best).spec
        try:
            return DataSpec.from_dict(values) if values is not None else None
        except (TypeError, AttributeError):
            raise UserError(
                f"{self.folder.description}: spec is not the description of data that this "
                "version writes"
            ) from None

    @property
    def kind(self) -> str:
        """The section of a report for its predictions, a row of predictions.py, or empty."""
        if isinstance(drawn := self.description.get("report"), str):
            return drawn
        from ..targets import TARGETS

        target = TARGETS.get(self.spec.target) if self.spec else None
        return EARLIER.get(self.task, target.report if target else "")

    # ------------------------------------------------------------------ what came out

    @functools.cached_property
    def results(self) -> dict[str, Any]:
        """results.json; empty while the run goes on."""
        path = self.folder.results
        return self._json(path, RESULTS) if path.is_file() else {}

    @property
    def temperature(self) -> float | None:
        """What the last test has found to divide logits by, with `--calibrate true`."""
        return self.metric("test/temperature")

    @functools.cached_property
    def baselines(self) -> list[dict[str, Any]]:
        """What `baseline` found on the same data: name, metrics, samples, seconds of each."""
        for place in (self.path, self.path.parent):
            path = place / "baseline.json"
            found = self._json(path, {"data": dict, "rows": list}) if path.is_file() else {}
            rows = found.get("rows") or []
            if not all(
                _is_row(row, {"name": str, "metrics": dict, "samples": int})
                and all(_number(value) is not None for value in row["metrics"].values())
                for row in rows
            ):
                raise UserError(f"{path}: rows are not what this version writes there")
            if rows and _digests(found["data"]) == _digests(self.description.get("data") or {}):
                return rows
        return []

    @property
    def importance(self) -> dict[str, list[float]]:
        """How much the loss rises when each column of a table is shuffled; empty of other data."""
        found = self.results.get("importance") or {}
        if not all(
            isinstance(rises, list) and rises and all(_number(rise) is not None for rise in rises)
            for rises in found.values()
        ):
            raise UserError(f"{self.folder.results}: importance is no table of numbers")
        return found

    @functools.cached_property
    def step_metrics(self) -> Columns:
        """metrics.csv by columns: (rows,) float64, NaN where a row has no value."""
        return self._columns(self.folder.metrics)

    @functools.cached_property
    def epochs(self) -> Columns:
        """epochs.csv by columns: (epochs,) float64."""
        return self._columns(self.folder.epochs)

    @property
    def state(self) -> str:
        return str(self.description.get("state", ""))

    @property
    def monitor(self) -> str:
        """The metric by which its best checkpoint was chosen."""
        best = self.results.get("best") or {}
        return str(self.description.get("monitor") or best.get("monitor") or "val/loss")

    def mode(self, metric: str) -> str:
        """Whether a metric should be small ("min") or large ("max")."""
        base = metric.rpartition("/")[2]
        known = self.description.get("monitor_mode")
        if known and base == self.monitor.rpartition("/")[2]:
            return str(known)
        return better(metric)

    def metric(self, name: str) -> float | None:
        """A final metric, such as test/accuracy; the monitored one is that of the best
        checkpoint.
        """
        best = self.results.get("best") or {}
        if name == best.get("monitor"):
            return _number(best.get("value"))
        return _number(self.metrics.get(name))

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """All final metrics by name: of the last epoch, of later validations and tests, and of the
        best checkpoint.
        """
        found = dict(self.results.get("last") or {})
        if not found and self.folder.epochs.is_file():
            found = {
                name: float(column[-1])
                for name, column in self.epochs.items()
                if "/" in name and len(column)
            }
        best, test = self.results.get("best") or {}, self.results.get("test") or {}
        if (_number(test.get("step")) or 0) < (_number(best.get("step")) or 0):
            test = {}  # of a checkpoint that was the best before the run was prolonged
        # of one checkpoint all; "figures" until 0.1
        together = best.get("metrics", best.get("figures"))
        for split in (self.results.get("val"), test, together):
            if isinstance(split, dict):
                found |= {
                    name: value for name, value in split.items() if _number(value) is not None
                }
        return found | (
            {best["monitor"]: best["value"]} if {"monitor", "value"} <= set(best) else {}
        )

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A column of metrics.csv over the epochs, fractions of them included: (N,) both.

        It is that of epochs.csv where that has more, which is so when an epoch is shorter than the
        steps between two rows.
        """
        values, of_epochs = (
            self.step_metrics.get(name, np.zeros(0)),
            self.epochs.get(name, np.zeros(0)),
        )
        there = ~np.isnan(values)
        if there.sum() < (~np.isnan(of_epochs)).sum():
            return self.epochs["epoch"] + 1, of_epochs
        return self._as_epochs(self.step_metrics["step"][there]) if len(values) else values, values[
            there
        ]

    def _as_epochs(self, steps: np.ndarray) -> np.ndarray:
        """Steps (N,) as the epochs that are done then, by the ends that epochs.csv has; within an
        epoch, evenly.
        """
        ends, epochs = self.epochs.get("step", np.zeros(0)), self.epochs.get("epoch", np.zeros(0))
        if not len(ends):
            return steps
        known_steps, known_epochs = (
            np.concatenate([[0.0], ends]),
            np.concatenate([[epochs[0]], epochs + 1]),
        )
        beyond = np.clip(steps - known_steps[-1], 0, None) / max(
            known_steps[-1] - known_steps[-2], 1
        )
        return np.interp(steps, known_steps, known_epochs) + beyond

    def splits(self) -> list[str]:
        """The splits whose predictions were kept."""
        return [split for split in ("val", "test") if self.folder.predictions(split).is_file()]

    def predictions(self, split: str) -> Predictions:
        """The predictions of a split."""
        path = self.folder.predictions(split)
        arrays = self._arrays(path, ("id", "target", "prediction"))
        return Predictions(arrays["id"], arrays["target"], arrays["prediction"])

    def samples(self, split: str) -> Columns | None:
        """Some samples of a split: id, input, target, prediction, error, and whether each was
        chosen for its error (worst), or as one of all (even); None in older runs.
        """
        path = self.folder.samples(split)
        if not path.is_file():
            return None
        names = ("id", "input", "target", "prediction", "error", "worst")
        return self._arrays(path, names, also=("even", "heat"))

    # ------------------------------------------------------------------ reading

    def _text(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{path}: not a text file") from None
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None

    def _json(self, path: Path, kinds: dict[str, type]) -> dict[str, Any]:
        try:
            value = json.loads(self._text(path))
        except (ValueError, RecursionError):
            raise UserError(f"{path}: not JSON, half written or damaged") from None
        if not isinstance(value, dict):
            raise UserError(f"{path}: expected keys and values")
        for name, kind in kinds.items():
            if value.get(name) is not None and not isinstance(value[name], kind):
                raise UserError(f"{path}: {name} is not what this version writes there")
        return value

    def _columns(self, path: Path) -> Columns:
        if not path.is_file():
            return {}
        names, *rows = list(csv.reader(self._text(path).splitlines())) or [[]]
        if "epoch" not in names or "step" not in names:
            raise UserError(
                f"{path}: no columns step and epoch in its first line; it is damaged, or another "
                "version's"
            )
        if rows and len(rows[-1]) < len(names):
            rows.pop()  # the run is writing it, or was killed while it did
        try:
            table = np.array(
                [[float(cell or "nan") for cell in row] for row in rows], dtype=np.float64
            )
            columns = dict(zip(names, table.reshape(len(rows), len(names)).T, strict=True))
        except ValueError:
            wrong = next(
                (
                    i
                    for i, row in enumerate(rows, 2)
                    if len(row) != len(names) or not _are_numbers(row)
                ),
                2,
            )
            raise UserError(f"{path}:{wrong}: not {len(names)} numbers") from None
        for name in ("epoch", "step"):
            if (odd := ~np.isfinite(columns[name])).any():
                raise UserError(f"{path}:{int(odd.argmax()) + 2}: {name} is no number")
        return columns

    def _arrays(self, path: Path, names: tuple[str, ...], also: tuple[str, ...] = ()) -> Columns:
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (*names, *({*also} & {*file.files}))}
        except KeyError as error:
            raise UserError(f"{path}: no {error.args[0]} in it; another version's?") from None
        except Exception:  # numpy and zipfile raise whatever the damage leads them to
            raise UserError(f"{path}: damaged, or not written by a run") from None
        if len({len(array) if array.ndim else -1 for array in arrays.values()}) != 1:
            raise UserError(f"{path}: its columns differ in length; it is damaged")
        return arrays


def _is_row(row: Any, kinds: Kinds) -> bool:
    """Whether a row has these keys with values of these kinds, lists being of whole numbers."""
    return isinstance(row, dict) and all(
        key in row
        and isinstance(row[key], kind)
        and not isinstance(row[key], bool)
        and (not isinstance(row[key], list) or all(type(side) is int for side in row[key]))
        for key, kind in kinds.items()
    )


def _digests(data: dict[str, Any]) -> dict[str, Any]:
    """The digests of what was trained on and chosen by."""
    parts = {split: data.get(split) for split in ("train", "val")}
    return {split: part.get("digest") for split, part in parts.items() if isinstance(part, dict)}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _are_numbers(row: list[str]) -> bool:
    try:
        return all(float(cell or "nan") is not None for cell in row)
    except ValueError:
        return False
