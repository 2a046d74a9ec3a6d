"""The Trainer of a run: the machinery around a user's own callbacks and loggers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback, ProgressBar, WeightAveraging
from lightning.pytorch.loggers import Logger

from ..errors import UserError
from ..runs import tensorboard, trackers
from ..runs.checkpoints import BestCheckpoint, SafeIO
from ..runs.exact import ExactResume
from ..runs.folder import RunFolder
from ..runs.internals import NullProfiler, quicken, undo_nvml_check
from ..runs.lean import make_lean
from ..runs.predictions import Predictions
from ..runs.progress import StepPrinter, bars
from ..runs.records import Epochs, MetricsFile
from ..runs.saved import Saved
from .classes import load_class
from .describe import parameters, texts
from .parser import ProjectCLI


def make_trainer(
    cli: ProjectCLI,
    folder: RunFolder | None,
    saved: Saved | None = None,
    callbacks: Sequence[Callback] = (),
) -> L.Trainer:
    """The Trainer of `fit`.

    Args:
        cli: Task and data, built.
        folder: Where the run is written; None keeps nothing (fast_dev_run).
        saved: The checkpoint it continues from.
        callbacks: A caller's own, the last of all.

    Raises:
        UserError: Lightning refuses the arguments.
    """
    given, options = cli.trainer_arguments, cli.config_tree["run"]
    has_bar = given.get("enable_progress_bar") is not False
    metrics = MetricsFile(folder) if folder else None
    predictions = Predictions(folder) if folder else None
    epochs = Epochs(folder)
    wants_events = options["tensorboard"] and given.get("logger") is not False
    events = board = None
    if folder and predictions and wants_events and tensorboard.is_there():
        events = tensorboard.Events(folder, saved.step if saved else None)
        tree = cli.config_tree
        board = tensorboard.Board(events, epochs, predictions, texts(tree), parameters(tree))
    task = cli.model
    in_order = [
        # What it saves stands before everything else of a step, and its seeds before every draw.
        ExactResume(folder, options["save_every"], metrics),
        *as_list(given.get("callbacks")),
        predictions,  # after a user's: those that average weights have put theirs in place
        BestCheckpoint(folder.checkpoints, task.monitor, task.mode) if folder else None,
        *(bars() if has_bar else []),
        epochs,  # after the bar, which has then left the line of the screen
        board,  # draws what Predictions and Epochs have gathered
        *callbacks,
    ]
    loggers: list[Logger | None] = [
        metrics,
        *chosen_loggers(given.get("logger")),
        StepPrinter(options["print_every"]) if folder and options["print_every"] else None,
        events,
    ]
    all_callbacks = [callback for callback in in_order if callback is not None]
    averaging = [type(c).__name__ for c in all_callbacks if isinstance(c, WeightAveraging)]
    if len(averaging) > 1:
        raise UserError(
            f"--trainer.callbacks: {' and '.join(averaging)} both average the weights; keep one"
        )
    own: dict[str, Any] = {
        "callbacks": all_callbacks,
        "logger": [logger for logger in loggers if logger is not None] or False,
        "enable_checkpointing": folder is not None,
    }
    if has_bar:
        own["enable_progress_bar"] = any(isinstance(c, ProgressBar) for c in all_callbacks)
    trainer = build_trainer(cli, own, saved)
    if options["lean"]:
        make_lean(trainer)
    return trainer


def build_trainer(cli: ProjectCLI, own: dict[str, Any], saved: Saved | None = None) -> L.Trainer:
    """Lightning's Trainer of a config, with `own` arguments and our way of writing checkpoints.

    Raises:
        UserError: Lightning refuses the arguments.
    """
    quicken(cli.model)
    undo_nvml_check()
    given = cli.trainer_arguments
    plugins = [*as_list(given.get("plugins")), SafeIO(saved)]
    profiler = given.get("profiler") or NullProfiler()
    return cli.instantiate_trainer(**{"plugins": plugins, "profiler": profiler} | own)


def as_list(value: Any) -> list[Any]:
    """A setting that is one thing, several, or none, as a list."""
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def chosen_loggers(value: Any) -> list[Any]:
    """Those that a user has named, of `trainer.logger`: true and false are Lightning's."""
    return [one for one in as_list(value) if not isinstance(one, bool)]


def go_on_in(cli: ProjectCLI, folder: RunFolder | None) -> None:
    """Let the loggers of the config, before they are built, go on where those of the run were."""
    before, root = trackers.known(folder), Path(cli.config_tree["run"]["root"])
    for number, chosen in enumerate(chosen_loggers(cli.config.trainer.logger)):
        name = trackers.name_of(load_class(chosen.class_path, "--trainer.logger"))
        own = trackers.place(name, chosen.init_args, root)
        for key, value in (own | trackers.goes_on(name, number, before)).items():
            chosen.init_args[key] = value


def settle_logging(cli: ProjectCLI) -> None:
    """Settle the steps between two rows of metrics.csv: as set, or several an epoch, at most 50.

    Raises:
        UserError: lines are to be printed at steps that have no row.
    """
    trainer, printed = cli.config_tree["trainer"], cli.config_tree["run"]["print_every"]
    every = trainer["log_every_n_steps"]
    if every is None:
        data = cli.datamodule
        batches = len(data.loaded("train")) // data.batch_size
        steps = batches // int(trainer["accumulate_grad_batches"] or 1)
        limit = max(1, min(50, steps // 5))
        every = max(n for n in range(1, limit + 1) if (printed or n) % n == 0)
        trainer["log_every_n_steps"] = cli.trainer_arguments["log_every_n_steps"] = every
    if printed and every and printed % every:
        raise UserError(
            f"--run.print_every {printed}: metrics are logged every {every} steps; leave out "
            f"--trainer.log_every_n_steps {every}, or print at a multiple of it"
        )
