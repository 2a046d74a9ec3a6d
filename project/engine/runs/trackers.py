"""Trackers (MLflow, Weights & Biases, ...): a run there for a run here, over all its kills.

A run that is killed computes again what came after its last checkpoint, and what its tracker had
not yet sent or written is lost. So a tracker is asked how many rows it has: these are passed over,
those that it lacks are read from metrics.csv. What it goes on in stands in run.json before the
first step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError, clip
from .files import read_json
from .folder import RunFolder
from .records import MetricsFile


def _mlflow_rows(logger: Any) -> int:
    return len(logger.experiment.get_metric_history(logger.run_id, "epoch"))


def _mlflow_begin(logger: Any) -> None:
    logger.experiment.update_run(logger.run_id, status="RUNNING")


def _wandb_rows(logger: Any) -> int:
    """Those that the server has; none offline, where each start of a run is a folder of its own, of
    which the last has all.
    """
    return logger.experiment.step


def _wandb_end(logger: Any) -> None:
    """End it there too: the next run of this process would go on in it."""
    logger.experiment.finish()


@dataclass(frozen=True)
class Kind:
    """How a tracker goes on.

    argument: What its class takes to go on in, which its `version` says.
    rows: How many rows it has; none where it begins its file again.
    begin: What is to be done before the first row.
    end: What is to be done after the last.
    more: Further arguments where it goes on.
    place: An argument that nobody has given, and its value below the folder of all runs.
    """

    argument: str
    rows: Callable[[Any], int] = lambda logger: 0
    begin: Callable[[Any], object] = lambda logger: None
    end: Callable[[Any], object] = lambda logger: None
    more: Mapping[str, Any] = field(default_factory=dict)
    place: tuple[str, str] | None = None


TRACKERS = {
    "CSVLogger": Kind("version"),
    "MLFlowLogger": Kind(
        "run_id",
        rows=_mlflow_rows,
        begin=_mlflow_begin,
        place=("tracking_uri", "sqlite:///{}/mlflow.db"),  # it gives up its own default, files
    ),
    "TensorBoardLogger": Kind("version", more={"purge_step": 0}),
    "WandbLogger": Kind("id", rows=_wandb_rows, end=_wandb_end),
}


def known(folder: RunFolder | None) -> list[dict[str, Any]]:
    """What the trackers of a run go on in, as run.json says: their class and identity."""
    if folder is None or not folder.description.is_file():
        return []
    found = read_json(folder.description).get("trackers")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def name_of(logger: type) -> str:
    """The tracker that a class is or derives from, or else its own name."""
    names = [kind.__name__ for kind in logger.__mro__]
    return next((name for name in names if name in TRACKERS), names[0])


def goes_on(name: str, number: int, trackers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments by which the logger of this class and number goes on; none where it begins."""
    if number >= len(trackers) or trackers[number].get("class") != name or name not in TRACKERS:
        return {}
    kind = TRACKERS[name]
    return {kind.argument: trackers[number].get("id"), **kind.more}


def place(name: str, given: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Where a logger of this class is kept if nobody has said it.

    Raises:
        UserError: the folder of all runs cannot be made.
    """
    kind = TRACKERS.get(name)
    if kind is None or kind.place is None or given.get(kind.place[0]) is not None:
        return {}
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root}: {error.strerror}; --run.root DIR puts it elsewhere") from None
    return {kind.place[0]: kind.place[1].format(root)}


def begin(
    loggers: Sequence[Any], metrics: MetricsFile, folder: RunFolder, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Open a user's loggers and let each get every row once; returns what `known` returns.

    Args:
        loggers: In the order of the config.
        metrics: The rows.
        folder: The run's.
        settings: What the run is made of, for a tracker that is new.

    Raises:
        UserError: a tracker cannot be reached.
    """
    before, found = known(folder), []
    for number, logger in enumerate(loggers):
        name = name_of(type(logger))
        if name not in TRACKERS:
            found.append({"class": name})
            continue
        try:
            _, identity = logger.experiment, logger.version  # in this order: the first makes it
            if not goes_on(name, number, before):
                logger.log_hyperparams(dict(settings))
            Tracker(logger, TRACKERS[name], metrics)
        except Exception as error:
            raise UserError(f"--trainer.logger {name}: {clip(error, 300)}") from error
        found.append({"class": name, "id": identity})
    return found


class Tracker:
    """Gives a logger each row once, in place of the logger's own `log_metrics`.

    Args:
        logger: Lightning's.
        kind: How it goes on.
        metrics: The rows.
    """

    def __init__(self, logger: Any, kind: Kind, metrics: MetricsFile) -> None:
        self.logger, self.kind, self.metrics = logger, kind, metrics
        self.log, self.finish = logger.log_metrics, logger.finalize
        self.rows, self.last = kind.rows(logger), -1
        kind.begin(logger)
        logger.log_metrics, logger.finalize = self.log_metrics, self.finalize

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        number = self.metrics.rows.rows
        if number == self.last:  # no row of the run's: somebody logs here alone
            self.log(metrics, step)
            return
        self.last = number
        self.catch_up(number - 1)
        if self.rows < number:
            self.log(metrics, step)
            self.rows = number

    def catch_up(self, rows: int) -> None:
        """Log what it lacks of the first rows."""
        if self.rows >= rows:
            return
        for row in self.metrics.rows.read()[self.rows : rows]:
            values = {name: float(text) for name, text in row.items() if text}
            self.log(values, int(values.pop("step")))
            self.rows += 1

    def finalize(self, status: str) -> None:
        self.catch_up(self.metrics.rows.rows)
        self.finish(status)
        self.kind.end(self.logger)
