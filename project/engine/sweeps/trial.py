"""One trial: a run of `fit` like any other, whose folder and settings the sweep chose."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback

from ..cli.arguments import read_settings
from ..cli.fitting import fit
from ..cli.machine import as_found, output_in, quiet
from ..errors import UserError
from ..runs.exact import ExactResume
from ..runs.files import read_column
from ..runs.folder import RunFolder
from .study import Epoch, Outcome, TrialSpec


class Reporter(Callback):
    """Report each epoch, and stop the run at its next save point where it is to be pruned.

    Args:
        metric: The name of what is reported.
        is_pruned: Takes an epoch; whether the trial is to be given up.
    """

    def __init__(self, metric: str, is_pruned: Callable[[Epoch], bool]) -> None:
        self.metric, self.is_pruned = metric, is_pruned

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.metric)
        epoch = Epoch(
            trainer.current_epoch + 1, trainer.max_epochs, None if value is None else float(value)
        )
        if self.is_pruned(epoch):
            callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
            next(c for c in callbacks if isinstance(c, ExactResume)).stop_as = "pruned"


def run_trial(spec: TrialSpec, is_pruned: Callable[[Epoch], bool]) -> Outcome:
    """Train in this process as if in one of its own; whatever happens is returned, not raised."""
    folder = RunFolder(spec.folder)
    if not is_free(folder):
        return Outcome("interrupted")
    state, reason, received = "complete", "", 0
    with output_in(folder.path / "output.txt"), as_found(), quiet(debug=False):
        try:
            fit(
                read_settings([spec.base], spec.assignments),
                run=spec.folder,
                callbacks=[Reporter(spec.monitor, is_pruned)],
                notes={"command": spec.command, "sweep": spec.description},
            )
        except UserError as error:
            state, reason = "failed", error.on_command_line()
        except SystemExit as stop:
            state = "pruned" if getattr(stop, "state", "") == "pruned" else "interrupted"
            code = stop.code if isinstance(stop.code, int) else 0
            received = (
                code - 128 if code > 128 else signal.SIGINT
            )  # whatever else means to end the process
        except KeyboardInterrupt:
            state, received = "interrupted", signal.SIGINT
        except Exception as error:
            traceback.print_exc()
            state, reason = "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"
    values = read_column(folder.metrics, spec.monitor) or read_column(folder.epochs, spec.monitor)
    if state == "complete" and not values:
        state, reason = "failed", f"it never reported {spec.monitor}"
    best = (max if spec.direction == "maximize" else min)(values, default=None)
    epochs, seconds = read_column(folder.epochs, "epoch"), read_column(folder.epochs, "run_seconds")
    return Outcome(state, best, len(epochs), seconds[-1] if seconds else 0.0, reason, received)


def is_free(folder: RunFolder) -> bool:
    """Whether nobody writes there any more: the worker of a killed parent needs a moment to follow
    it.
    """
    for _ in range(100):
        with contextlib.suppress(UserError):
            folder.open().close()
            return True
        time.sleep(0.1)
    return False
