"""The metrics of a run, row by row: metrics.csv and epochs.csv."""

from __future__ import annotations

import csv
import hashlib
import os
import time
from pathlib import Path
from typing import IO, Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from ..errors import UserError
from .files import csv_line, disk_errors, write_atomic
from .folder import RunFolder
from .progress import EpochTable, epoch_of, say

WAY = "bring it back, or start a new run from its weights with --weights"


class CSVRows:
    """A CSV that is appended to, a row at a time, and rewritten whole only when a column is new."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path, self.columns, self.rows = path, columns, 0
        self.file: IO[bytes] | None = None
        self.digest = hashlib.sha256()  # of all that is written

    def begin(self, mark: dict[str, Any] | None) -> None:
        """Start the file, or cut it back to a mark."""
        if mark is None:
            self._rewrite([])
            return
        self.columns, self.rows = list(mark["columns"]), mark["rows"]
        try:
            with open(self.path, "rb") as file:
                head = csv_line(self.columns)
                same_columns = file.read(len(head)) == head
            if same_columns and os.path.getsize(self.path) >= mark["bytes"]:
                os.truncate(self.path, mark["bytes"])
                self._open()
            else:  # a column was added after the checkpoint
                self._rewrite(self.read()[: self.rows])
        except OSError as error:
            raise UserError(
                f"{self.path}: {error.strerror}; the run cannot continue without its records; {WAY}"
            ) from None
        known = mark.get("digest", self.digest.hexdigest())  # there since 0.2
        if os.path.getsize(self.path) != mark["bytes"] or self.digest.hexdigest() != known:
            raise UserError(
                f"{self.path}: not as the checkpoint has left it, so that the run cannot continue; "
                f"{WAY}"
            )

    def append(self, row: dict[str, Any]) -> None:
        new = [name for name in row if name not in self.columns]
        with disk_errors(self.path):
            if new:
                rows = self.read()
                self.columns += new
                self._rewrite(rows)
            assert self.file is not None
            line = csv_line([row.get(name, "") for name in self.columns])
            self.file.write(line)
            self.digest.update(line)
        self.rows += 1

    def mark(self) -> dict[str, Any]:
        """Where the file stands, durably on disk: plain values."""
        assert self.file is not None
        with disk_errors(self.path):
            os.fsync(self.file.fileno())
            return {
                "rows": self.rows,
                "bytes": os.path.getsize(self.path),
                "columns": list(self.columns),
                "digest": self.digest.hexdigest(),
            }

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def read(self) -> list[dict[str, str]]:
        """All rows, as they are written."""
        with open(self.path, newline="", encoding="utf-8", errors="replace") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        self.close()
        lines = [csv_line(self.columns)] + [
            csv_line([row.get(name) or "" for name in self.columns]) for row in rows
        ]
        write_atomic(self.path, lambda file: file.write(b"".join(lines)))
        self._open()

    def _open(self) -> None:
        """Open the file to append to it, and take the digest of what is in it."""
        with open(self.path, "rb") as file:
            self.digest = hashlib.file_digest(file, "sha256")
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115


class MetricsFile(Logger):
    """metrics.csv: a row for each logging step and each validation.

    No clock in it, so that equal runs are equal bytes.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder
        self.rows = CSVRows(folder.metrics, ["step", "epoch"])
        self.begin, self.mark = self.rows.begin, self.rows.mark

    name = property(lambda self: "")
    version = property(lambda self: "")
    save_dir = property(lambda self: str(self.folder))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The config is in config.yaml."""

    def finalize(self, status: str) -> None:
        self.rows.close()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self.rows.file is not None:
            self.rows.append({"step": step, **dict(sorted(metrics.items()))})


class Epochs(Callback):
    """A line on the screen for each epoch and a row in epochs.csv, the one file that a clock has a
    part in.

    Durations go on where a run is continued, without the time between. Samples per second are those
    of training, without validations.
    """

    def __init__(self, folder: RunFolder | None) -> None:
        self.rows = CSVRows(folder.epochs, ["epoch", "step"]) if folder else None
        self.restored: dict[str, Any] | None = None
        self.run, self.epoch, self.validation = Stopwatch(), Stopwatch(), Stopwatch()
        self.first_step, self.validated = 0, False
        self.table, self.timing = EpochTable(), dict[str, float]()

    def state_dict(self) -> dict[str, Any]:
        mark = self.rows.mark() if self.rows is not None and self.rows.file else None
        watches = {name: getattr(self, name).seconds for name in ("run", "epoch", "validation")}
        return {"mark": mark, "first_step": self.first_step, "validated": self.validated, **watches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.restored, self.first_step = state_dict["mark"], state_dict["first_step"]
        self.validated = state_dict["validated"]
        for name in ("run", "epoch", "validation"):
            getattr(self, name).before = state_dict[name]

    @property
    def seconds(self) -> float:
        """How long the run has taken so far, without the time between two commands."""
        return self.run.seconds

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero and self.rows is not None:
            self.rows.begin(self.restored)
        self.run.start()

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if self.rows is not None:
            self.rows.close()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        self.teardown(trainer, module, "fit")

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.epoch.start()  # an epoch that is continued in its middle has no start of its own

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.first_step = trainer.global_step
        self.epoch.start(0.0)
        self.validation, self.validated = Stopwatch(), False

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.validation.start()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.validation.stop()
        self.validated = True

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        metrics = trainer.callback_metrics | module.train_metrics()
        values = {
            name: float(value)
            for name, value in metrics.items()
            if self.validated or not name.startswith("val/")
        }
        if not trainer.is_global_zero:
            return
        seconds = self.epoch.seconds
        batches = (trainer.global_step - self.first_step) * trainer.accumulate_grad_batches
        samples = batches * getattr(trainer.datamodule, "batch_size", 0) * trainer.world_size
        speed = samples / max(seconds - self.validation.seconds, 1e-9)
        values = {
            name: values[name]
            for name in sorted(values, key=lambda name: (not name.startswith("train"), name))
        }
        self.timing = {
            "epoch_seconds": seconds,
            "run_seconds": self.run.seconds,
            "samples_per_second": speed,
        }
        if self.rows is not None:
            row = {"epoch": trainer.current_epoch, "step": trainer.global_step} | {
                n: round(v, 6) for n, v in values.items()
            }
            self.rows.append(
                row
                | module.rates()
                | {name: round(value, 3) for name, value in self.timing.items()}
            )
        for line in self.table.rows(epoch_of(trainer), values, module.monitor, speed, seconds):
            say(line)


class Stopwatch:
    """A stop watch that can go on from what an earlier process has counted."""

    def __init__(self) -> None:
        self.before = 0.0
        self.began: float | None = None

    def start(self, before: float | None = None) -> None:
        self.before = self.before if before is None else before
        self.began = time.monotonic()

    def stop(self) -> None:
        self.before, self.began = self.seconds, None

    @property
    def seconds(self) -> float:
        return self.before + (0.0 if self.began is None else time.monotonic() - self.began)
