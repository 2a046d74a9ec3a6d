"""`fit` from settings to a finished run: trainer, task and data are built here and meet."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ..bases.task import Task
from ..building.weights import describe
from ..errors import UserError, clip
from ..registry import PROGRAM
from ..runs import records, tensorboard
from ..runs.checkpoints import BestCheckpoint, SafeIO, locate, read
from ..runs.exact import ExactResume, Stop
from ..runs.files import update_json, write_text
from ..runs.folder import RunFolder
from ..runs.internals import NullProfiler
from ..runs.predictions import Predictions
from ..runs.progress import StepPrinter, bars
from .arguments import Request, config_text, merge, refuse_changes
from .beginning import CHILD, Start, claim, find_start, full_tree, is_child, is_finished
from .describe import description, parameters, texts
from .evaluation import load
from .machine import check_devices, settle_threads
from .parser import ProjectCLI
from .settings import from_yaml
from .summary import closing, opening, show_weights


def fit(request: Request) -> int:
    """Train as the request says; returns the exit code."""
    start = Start()
    try:
        find_start(request, start)
        return train(request, start)
    except UserError:
        if start.folder is not None and start.is_new:
            start.folder.discard_if_unused()
        raise
    finally:
        if start.folder is not None:
            start.folder.close()


def train(request: Request, start: Start) -> int:
    """Settle what is asked, build it, train, and say how it ended."""
    if start.folder and not start.state and not request.configs and not request.assignments:
        raise UserError(
            f"--run {start.folder}: no checkpoint to continue from, and no --config for a new run"
        )
    base = (
        from_yaml(start.state["config"], f"the config in {start.checkpoint}")
        if start.state
        else None
    )
    cli = ProjectCLI(merge(request, base))
    tree = cli.config_tree
    settle_threads(tree)
    if request.print_config:
        print(config_text(tree), end="")
        return 0
    check_devices(tree["trainer"])
    changes = []
    if start.state and start.state["config"] != config_text(tree):
        changes = refuse_changes(tree, full_tree(start.config), start.folder or start.checkpoint)
    if start.state and is_finished(start, tree["trainer"]):
        if start.folder is not None:
            update_json(start.folder.description, {"state": "finished"})
        print(
            f"{start.folder} is finished at step {start.state['global_step']}; "
            "--trainer.max_epochs prolongs it"
        )
        return 0
    assemble(cli, request, start)
    if request.print_init:
        show_weights(describe(cli.model.net, cli.model.initialised))
        return 0
    if tree["trainer"].get("fast_dev_run"):
        start.folder = None
    elif start.folder is None:
        start.folder, start.is_new = claim(tree), not is_child()
    trainer = make_trainer(cli, start, tree, request.callbacks)
    if start.folder is not None and trainer.is_global_zero:
        announce(start.folder, cli, trainer, request, start, changes)
    began = time.monotonic()
    run_to_the_end(trainer, cli, start)
    if start.folder is not None and trainer.is_global_zero:
        report(start.folder, trainer, cli.model, time.monotonic() - began)
        update_json(start.folder.description, {"state": "finished"})
        request.to_report = start.folder.path if tree["run"]["report"] else None
    return 0


def assemble(cli: ProjectCLI, request: Request, start: Start) -> None:
    """Build task, data and network: what can be wrong with them is known before the run has a
    folder.
    """
    cli.build()
    task, data = cli.model, cli.datamodule
    if start.state:
        data.restore(start.state["preprocessing"])
    if not is_child():
        data.prepare_data()
    data.setup("fit")
    settle_logging(cli)
    task.config = config_text(cli.config_tree)
    task.build(data.spec, data.preprocessing)
    task.load_dependencies(load)
    weights, fresh = request.path("--weights"), request.options.get("--fresh")
    if fresh and not weights:
        raise UserError(
            "--fresh says which of the weights of --weights RUN are left out; there is no --weights"
        )
    if weights:
        task.load_weights(read(locate(weights))["state_dict"], fresh, f"--weights {weights}")
    elif not start.state:
        task.load_pretrained()
    if cli.config_tree["run"]["compile"]:
        task.net.compile()


def run_to_the_end(trainer: L.Trainer, cli: ProjectCLI, start: Start) -> None:
    """Train until the limits, a signal or an error; run.json keeps which it was."""
    folder, state = start.folder, "failed"
    checkpoint = str(start.checkpoint) if start.checkpoint else None
    try:
        if folder is not None:
            os.environ[CHILD] = str(folder)
        trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
        state = "running"  # its results are still to be written
    except (MisconfigurationException, ValueError) as error:
        if raised_by_lightning(error):
            raise UserError(f"trainer: {clip(error, 300)}") from error
        raise
    except RuntimeError as error:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        exact = next(c for c in callbacks if isinstance(c, ExactResume))
        received = exact.signals.received
        if not received:
            raise
        # the signal has reached the processes that read data, too; the last checkpoint holds
        state = "interrupted"
        raise SystemExit(128 + received) from error
    except SystemExit as stop:
        state = stop.state if isinstance(stop, Stop) else "interrupted"
        if folder is not None and trainer.is_global_zero:
            print(
                f"stopped at step {trainer.global_step}; continue: {PROGRAM} fit --run {folder}",
                flush=True,
            )
        if isinstance(
            stop.__context__, KeyboardInterrupt
        ):  # before the first step, where Lightning answers with 1
            raise SystemExit(130) from None
        raise
    finally:
        os.environ.pop(CHILD, None)
        if folder is not None and trainer.is_global_zero:
            with contextlib.suppress(
                *([UserError] if state == "failed" else [])
            ):  # it may have failed for its folder
                update_json(folder.description, {"state": state})


def raised_by_lightning(error: BaseException) -> bool:
    """Whether Lightning itself refused something, so that it is no bug of a network or a
    dataset.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith(
        "lightning."
    )


def make_trainer(
    cli: ProjectCLI, start: Start, tree: dict[str, Any], further: Sequence[Any] = ()
) -> L.Trainer:
    """The Trainer with the machinery around a user's own callbacks and loggers; `further` callbacks
    come last.

    Raises:
        UserError: Lightning refuses the arguments.
    """
    folder, arguments = start.folder, dict(cli.trainer_arguments)
    own = arguments.pop("callbacks", None) or []
    callbacks = list(own) if isinstance(own, (list, tuple)) else [own]
    wanted = arguments.pop("logger", None)
    loggers: list[Logger] = (
        []
        if wanted in (None, True, False)
        else list(wanted)
        if isinstance(wanted, (list, tuple))
        else [wanted]
    )
    epochs = records.Epochs(folder)
    first: list[Any] = [ExactResume(None, tree["run"]["save_every"], None)]
    if folder is not None:
        metrics = records.MetricsFile(folder)
        first = [ExactResume(folder, tree["run"]["save_every"], metrics)]
        loggers.insert(0, metrics)
        if every := tree["run"]["print_every"]:
            loggers.append(StepPrinter(every))
        predictions = Predictions(folder)
        callbacks.append(predictions)
        if tree["run"]["tensorboard"] and wanted is not False and tensorboard.is_there():
            events = tensorboard.Events(folder, start.state["global_step"] if start.state else None)
            loggers.append(events)
            board = tensorboard.Board(events, epochs, predictions, texts(tree), parameters(tree))
            further = [board, *further]
        callbacks.append(BestCheckpoint(folder.checkpoints, cli.model.monitor, cli.model.mode))
    if arguments.get("enable_progress_bar") is not False:
        callbacks += bars()
        arguments["enable_progress_bar"] = any(isinstance(c, ProgressBar) for c in callbacks)
    callbacks += [epochs, *further]
    return build_trainer(
        {**arguments, "enable_checkpointing": folder is not None, "logger": loggers or False},
        [*first, *callbacks],
    )


def build_trainer(arguments: dict[str, Any], callbacks: list[Any]) -> L.Trainer:
    """Lightning's Trainer with our way of writing checkpoints.

    Raises:
        UserError: Lightning refuses the arguments.
    """
    plugins = arguments.get("plugins") or []
    ours = {
        "callbacks": callbacks,
        "plugins": [*(plugins if isinstance(plugins, list) else [plugins]), SafeIO()],
        "profiler": arguments.get("profiler") or NullProfiler(),
    }
    try:
        return L.Trainer(**arguments | ours)
    except Exception as error:
        raise UserError(f"trainer: {clip(error, 200)}") from error


def settle_logging(cli: ProjectCLI) -> None:
    """Optimizer steps between two rows of metrics.csv, kept in the config: as set, or several an
    epoch, at most 50 steps apart.

    Raises:
        UserError: lines are to be printed at steps that have no row.
    """
    trainer, printed = cli.config_tree["trainer"], cli.config_tree["run"]["print_every"]
    every = trainer["log_every_n_steps"]
    if every is None:
        data = cli.datamodule
        steps = (
            len(data.loaded("train"))
            // data.batch_size
            // int(trainer["accumulate_grad_batches"] or 1)
        )
        most = max(1, min(50, steps // 5))
        every = max(n for n in range(1, most + 1) if (printed or n) % n == 0)
        trainer["log_every_n_steps"] = cli.trainer_arguments["log_every_n_steps"] = every
    if printed and every and printed % every:
        raise UserError(
            f"--run.print_every {printed}: figures are taken every {every} steps; leave out "
            f"--trainer.log_every_n_steps {every}, "
            f"or print at a multiple of it"
        )


def announce(
    folder: RunFolder,
    cli: ProjectCLI,
    trainer: L.Trainer,
    request: Request,
    start: Start,
    changes: list[str],
) -> None:
    """Say where the run is, write its config and description."""
    if start.state:
        print(f"continuing {folder} from step {start.state['global_step']}")
        for line in changes:
            print(f"  {line}")
        if (
            not folder.metrics.exists() and start.checkpoint
        ):  # a new run from another's checkpoint takes its records along
            origin = RunFolder(start.checkpoint.parent.parent)
            for source in (
                origin.metrics,
                origin.epochs,
                origin.description,
                *origin.path.glob("events.out.tfevents.*"),
            ):
                if source.is_file():
                    shutil.copyfile(source, folder.path / source.name)
    said = description(folder, cli, request, start.state)
    if not start.state:
        opening(folder, cli, trainer, said)
    sys.stdout.flush()
    write_text(folder.config, config_text(cli.config_tree))
    update_json(folder.description, said)


def report(folder: RunFolder, trainer: L.Trainer, task: Task, seconds: float) -> None:
    """Write results.json and say what stands in it."""
    checkpoint: Any = trainer.checkpoint_callback
    figures = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    result: dict[str, Any] = {
        "last": figures,
        "parameters": sum(p.numel() for p in task.net.parameters()),
    }
    result |= {
        "steps": trainer.global_step,
        "epochs": trainer.current_epoch,
        "seconds": round(seconds, 2),
    }
    if checkpoint is not None and checkpoint.best_model_score is not None:
        best = {
            "monitor": task.monitor,
            "value": float(checkpoint.best_model_score),
            "checkpoint": "checkpoints/best.ckpt",
        }
        result["best"] = best | best_row(folder.metrics, task.monitor, task.mode)
    update_json(folder.results, result)
    closing(folder, json.loads(folder.results.read_text()), seconds, by_steps=trainer.max_steps > 0)


def best_row(path: Path, monitor: str, mode: str) -> dict[str, Any]:
    """Step and figures of the first of the best validations in metrics.csv; empty where it does not
    have what is monitored.
    """
    with open(path, newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row.get(monitor) and monitor.startswith("val/")
        ]
    if not rows:
        return {}
    best = (max if mode == "max" else min)(rows, key=lambda row: float(row[monitor]))
    return {
        "step": int(best["step"]),
        "figures": {
            name: float(value) for name, value in best.items() if name.startswith("val/") and value
        },
    }
