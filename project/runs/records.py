"""What a run writes down: metrics.csv, epochs.csv, predictions, results.json, run.json."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from project.errors import UserError
from project.runs.files import csv_line, write_atomic
from project.runs.folder import RunFolder
from project.runs.progress import say

PREDICTIONS = 100_000  # rows kept of a split


class CSVRows:
    """A CSV that is appended to, a row at a time, and rewritten whole only when a column is new."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path, self.columns, self.rows = path, columns, 0
        self.file: IO[bytes] | None = None

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
                self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - open as long as the run
            else:  # a column was added after the checkpoint
                self._rewrite(self._read()[: self.rows])
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; the run cannot continue without its records") from None
        if os.path.getsize(self.path) != mark["bytes"]:
            raise UserError(f"{self.path}: does not match the checkpoint; it was changed by hand?")

    def append(self, row: dict[str, Any]) -> None:
        new = [name for name in row if name not in self.columns]
        if new:
            rows = self._read()
            self.columns += new
            self._rewrite(rows)
        assert self.file is not None
        self.file.write(csv_line([row.get(name, "") for name in self.columns]))
        self.rows += 1

    def mark(self) -> dict[str, Any]:
        """Where the file stands, durably on disk: plain values."""
        assert self.file is not None
        os.fsync(self.file.fileno())
        return {"rows": self.rows, "bytes": os.path.getsize(self.path), "columns": list(self.columns)}

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def _read(self) -> list[dict[str, str]]:
        with open(self.path, newline="") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        self.close()
        lines = [csv_line(self.columns)] + [csv_line([row.get(name) or "" for name in self.columns]) for row in rows]
        write_atomic(self.path, lambda file: file.write(b"".join(lines)))
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115


class MetricsFile(Logger):
    """metrics.csv: a row for each logging step and each validation. No clock in it, so that equal runs are equal bytes."""

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
    """A line on the screen for each epoch and a row in epochs.csv, the one file that a clock has a part in."""

    def __init__(self, folder: RunFolder | None) -> None:
        self.rows = CSVRows(folder.epochs, ["epoch", "step"]) if folder else None
        self.restored: dict[str, Any] | None = None
        self.seconds_before = 0.0

    def state_dict(self) -> dict[str, Any]:
        mark = self.rows.mark() if self.rows is not None and self.rows.file else None
        return {"mark": mark, "seconds": time.monotonic() - self.run_start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.restored, self.seconds_before = state_dict["mark"], state_dict["seconds"]

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero and self.rows is not None:
            self.rows.begin(self.restored)
        self.run_start = time.monotonic() - self.seconds_before

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if self.rows is not None:
            self.rows.close()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, module, "fit")

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.epoch_start, self.first_step = time.monotonic(), trainer.global_step

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.on_train_epoch_start(trainer, module)  # an epoch that is resumed in its middle has no start of its own

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        values = {name: float(value) for name, value in (trainer.callback_metrics | module.train_figures()).items()}
        if not trainer.is_global_zero:
            return
        now = time.monotonic()
        seconds = max(now - self.epoch_start, 1e-9)
        batches = (trainer.global_step - self.first_step) * trainer.accumulate_grad_batches
        speed = batches * getattr(trainer.datamodule, "batch_size", 0) * trainer.world_size / seconds
        names = sorted(values, key=lambda name: (not name.startswith("train"), name))
        if self.rows is not None:
            row = {"epoch": trainer.current_epoch, "step": trainer.global_step} | {n: round(values[n], 6) for n in names}
            timing = {"epoch_seconds": round(seconds, 3), "run_seconds": round(now - self.run_start, 3)}
            self.rows.append(row | module.rates() | timing | {"samples_per_second": round(speed, 1)})
        last = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        figures = "  ".join(f"{name} {values[name]:.4f}" for name in names)
        say(f"epoch {trainer.current_epoch + 1}{last}  {figures}  {speed:,.0f}/s  {seconds:.1f} s")


class Events(TensorBoardLogger):
    """TensorBoard events in the run folder itself."""

    def __init__(self, folder: RunFolder, first_step: int | None) -> None:
        super().__init__(str(folder), name="", version="", purge_step=first_step)

    def save(self) -> None:
        """No hparams.yaml: the config is in config.yaml."""


class Predictions(Callback):
    """What the last validation, a test or `predict` said of each sample: ids, targets and predictions of all processes.

    Args:
        folder: Where predictions-<split>.npz goes, bounded; None keeps everything in memory for the caller.
    """

    def __init__(self, folder: RunFolder | None) -> None:
        self.folder = folder
        self.most = PREDICTIONS if folder else sys.maxsize
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self.count = 0

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """ids (N,), targets and predictions (N, ...), sorted by id; a collective call when there are several processes."""
        parts = self.kept
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, parts)
            parts = [part for share in gathered for part in share]
        ids, targets, predictions = (torch.cat(column) for column in zip(*parts, strict=True))
        order = torch.argsort(ids, stable=True)
        return ids[order], targets[order], predictions[order]

    def _start(self) -> None:
        self.kept, self.count = [], 0

    def _keep(self, outputs: Any) -> None:
        if isinstance(outputs, dict) and "predictions" in outputs and self.count < self.most:
            ids, targets, predictions = (outputs[key].detach().cpu() for key in ("ids", "targets", "predictions"))
            self.kept.append((ids, targets, predictions.float()))
            self.count += len(ids)

    def _write(self, trainer: L.Trainer, split: str) -> None:
        if self.folder is None or not self.kept:
            return
        ids, targets, predictions = (column.numpy() for column in self.columns())
        if trainer.is_global_zero:
            write_atomic(
                self.folder.predictions(split),
                lambda file: np.savez_compressed(file, id=ids, target=targets, prediction=predictions),
            )

    def on_validation_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        self._start()

    def on_test_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        self._start()

    def on_validation_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    def on_test_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    def on_predict_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._write(trainer, "val")

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._write(trainer, "val")

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._write(trainer, "test")


def environment() -> dict[str, Any]:
    """Where a run happens: versions, threads, the kind of host."""
    import torchmetrics

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": L.__version__,
        "torchmetrics": torchmetrics.__version__,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and uncommitted changes of the code; empty outside a repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20)
        return done.stdout if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD").strip()
        return {"commit": commit, "diff": git("diff", "HEAD")[:200_000]} if commit else {}
    except (OSError, subprocess.TimeoutExpired):
        return {}


def command_line() -> str:
    return " ".join(["python -m project", *sys.argv[1:]])
