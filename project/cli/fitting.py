"""`fit` from settings to a finished run: trainer, task and data are built here and meet."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
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
import yaml
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from project.cli.arguments import Request, config_text, merge, refuse_changes
from project.cli.describe import description, parameters, texts
from project.cli.evaluation import load
from project.cli.machine import check_devices, settle_threads
from project.cli.parser import ProjectCLI
from project.cli.settings import Settings, from_yaml
from project.cli.summary import closing, opening, show_weights
from project.errors import UserError, clip
from project.runs import records, tensorboard
from project.runs.checkpoints import BestCheckpoint, SafeIO, locate, read, resumable
from project.runs.exact import ExactResume, Stop
from project.runs.files import update_json, write_text
from project.runs.folder import RunFolder
from project.runs.internals import NullProfiler
from project.runs.predictions import Predictions
from project.runs.progress import Lines, bars
from project.tasks.base import Task
from project.training.weights import describe

CHILD = "PROJECT_RUN_FOLDER"  # tells the other processes of a run where it is; set only while a run goes on


@dataclasses.dataclass
class Start:
    """Where a run begins: in which folder, from which checkpoint, with which saved config."""

    folder: RunFolder | None = None
    checkpoint: Path | None = None
    state: dict[str, Any] | None = None
    is_new: bool = False  # the folder was made by this command

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load(self.state["config"]) if self.state else {}


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
        raise UserError(f"--run {start.folder}: no checkpoint to continue from, and no --config for a new run")
    base = from_yaml(start.state["config"], f"the config in {start.checkpoint}") if start.state else None
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
        print(f"{start.folder} is finished at step {start.state['global_step']}; --trainer.max_epochs prolongs it")
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
    """Build task, data and network: what can be wrong with them is known before the run has a folder."""
    cli.build()
    task, data = cli.model, cli.datamodule
    if start.state:
        data.restore(start.state["fitted"])
    if not is_child():
        data.prepare_data()
    data.setup("fit")
    settle_logging(cli)
    task.config = config_text(cli.config_tree)
    task.build(data.spec, data.fitted)
    task.take_runs(load)
    weights, fresh = request.path("--weights"), request.options.get("--fresh")
    if fresh and not weights:
        raise UserError("--fresh says which of the weights of --weights RUN are left out; there is no --weights")
    if weights:
        task.load_weights(read(locate(weights))["state_dict"], fresh, f"--weights {weights}")
    elif not start.state:
        task.begin()
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
        received = next(c for c in trainer.callbacks if isinstance(c, ExactResume)).signals.received  # type: ignore[attr-defined]
        if not received:
            raise
        state = "interrupted"  # the signal has reached the processes that read data, too; the last checkpoint holds
        raise SystemExit(128 + received) from error
    except SystemExit as stop:
        state = stop.state if isinstance(stop, Stop) else "interrupted"
        if folder is not None and trainer.is_global_zero:
            print(f"stopped at step {trainer.global_step}; continue: python -m project fit --run {folder}", flush=True)
        raise
    finally:
        os.environ.pop(CHILD, None)
        if folder is not None and trainer.is_global_zero:
            with contextlib.suppress(*([UserError] if state == "failed" else [])):  # it may have failed for its folder
                update_json(folder.description, {"state": state})


def find_start(request: Request, start: Start) -> None:
    """Fill in the folder and the checkpoint that --run or --ckpt_path mean; a new run has neither.

    Raises:
        UserError: the checkpoint cannot be continued.
    """
    run, given = request.path("--run"), request.path("--ckpt_path")
    if given is not None and given.is_dir():
        if run is not None:
            raise UserError("--ckpt_path with a folder means --run; give one of them")
        if not (given / "checkpoints").is_dir():
            raise UserError(f"--ckpt_path {given}: not a run folder")
        run, given = given, None
    if run is not None:
        if ":" in request.options.get("--run", ""):
            raise UserError(f"--run {request.options['--run']}: only local folders, without a colon")
        start.folder = RunFolder(run) if is_child() else RunFolder(run).open()
        for path, state in resumable(start.folder):
            start.checkpoint, start.state = path, state
            saved = state["callbacks"]["ExactResume"]
            if saved["finished"] and not is_reported(start.folder, state["global_step"]):
                continue  # killed between its last checkpoint and its results: the end is run again
            if not (saved["mid_epoch_end"] and _asks_for_more_steps(request, state)):
                return
    if given is not None and start.state is None:
        start.checkpoint = locate(given)
        start.state = read(start.checkpoint)
        if "optimizer_states" not in start.state:
            raise UserError(f"--ckpt_path {given}: it holds weights only; --weights {given} starts a new run with them")


def is_reported(folder: RunFolder, step: int) -> bool:
    """Whether the results of an end at this step are written, which comes last."""
    return folder.results.is_file() and json.loads(folder.results.read_text()).get("steps") == step


def _asks_for_more_steps(request: Request, state: dict[str, Any]) -> bool:
    """Whether max_steps is raised: where it has ended a run inside an epoch, that end is no place to go on from."""
    limits = [value for key, value in request.assignments if key == "trainer.max_steps"]
    return any(value == "-1" or (value.isdecimal() and int(value) > state["global_step"]) for value in limits)


def is_finished(start: Start, trainer: dict[str, Any]) -> bool:
    """Whether the limits that now hold leave nothing to do."""
    assert start.state is not None
    saved = start.state["callbacks"]["ExactResume"]
    if not saved["finished"]:
        return False
    if saved["should_stop"]:
        return True
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    done_epochs = start.state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    more_epochs = epochs in (None, -1) or epochs > done_epochs
    more_steps = steps == -1 or steps > start.state["global_step"]
    return not (more_epochs and more_steps)


def raised_by_lightning(error: BaseException) -> bool:
    """Whether Lightning itself refused something, so that it is no bug of a network or a dataset."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("lightning.")


def is_child() -> bool:
    """Whether this process was started by Lightning as a further rank of a run."""
    return CHILD in os.environ and int(os.environ.get("LOCAL_RANK", 0)) > 0


def claim(tree: dict[str, Any]) -> RunFolder:
    """A new folder for this run, or the one that the first process of the run has claimed."""
    if is_child():
        return RunFolder(os.environ[CHILD])
    if "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_PROCID" in os.environ:
        raise UserError("several processes start this run: give them all the same folder with --run FOLDER")
    name = str(tree["name"])
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise UserError(f"--name {clip(name)!r}: it names a folder under --run.root, so it has no slash")
    return RunFolder.claim(Path(tree["run"]["root"]), name)


def make_trainer(cli: ProjectCLI, start: Start, tree: dict[str, Any], further: Sequence[Any] = ()) -> L.Trainer:
    """The Trainer with the machinery around a user's own callbacks and loggers; `further` callbacks come last.

    Raises:
        UserError: Lightning refuses the arguments.
    """
    folder, arguments = start.folder, dict(cli.trainer_arguments)
    own = arguments.pop("callbacks", None) or []
    callbacks = list(own) if isinstance(own, (list, tuple)) else [own]
    wanted = arguments.pop("logger", None)
    loggers: list[Logger] = (
        [] if wanted in (None, True, False) else list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    )
    epochs = records.Epochs(folder)
    first: list[Any] = [ExactResume(None, tree["run"]["save_every"], None)]
    if folder is not None:
        metrics = records.MetricsFile(folder)
        first = [ExactResume(folder, tree["run"]["save_every"], metrics)]
        loggers.insert(0, metrics)
        if every := tree["run"]["print_every"]:
            loggers.append(Lines(every))
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
        {**arguments, "enable_checkpointing": folder is not None, "logger": loggers or False}, [*first, *callbacks]
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
    """Optimizer steps between two rows of metrics.csv, kept in the config: as set, or several an epoch, at most 50 steps apart.

    Raises:
        UserError: lines are to be printed at steps that have no row.
    """
    trainer, printed = cli.config_tree["trainer"], cli.config_tree["run"]["print_every"]
    every = trainer["log_every_n_steps"]
    if every is None:
        data = cli.datamodule
        steps = len(data.loaded("train")) // data.batch_size // int(trainer["accumulate_grad_batches"] or 1)
        most = max(1, min(50, steps // 5))
        every = max(n for n in range(1, most + 1) if (printed or n) % n == 0)
        trainer["log_every_n_steps"] = cli.trainer_arguments["log_every_n_steps"] = every
    if printed and every and printed % every:
        raise UserError(
            f"--run.print_every {printed}: figures are taken every {every} steps; leave out --trainer.log_every_n_steps {every}, "
            f"or print at a multiple of it"
        )


def announce(folder: RunFolder, cli: ProjectCLI, trainer: L.Trainer, request: Request, start: Start, changes: list[str]) -> None:
    """Say where the run is, write its config and description."""
    if start.state:
        print(f"continuing {folder} from step {start.state['global_step']}")
        for line in changes:
            print(f"  {line}")
        if not folder.metrics.exists() and start.checkpoint:  # a new run from another's checkpoint takes its records along
            origin = RunFolder(start.checkpoint.parent.parent)
            for source in (origin.metrics, origin.epochs, origin.description, *origin.path.glob("events.out.tfevents.*")):
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
    result: dict[str, Any] = {"last": figures, "parameters": sum(p.numel() for p in task.net.parameters())}
    result |= {"steps": trainer.global_step, "epochs": trainer.current_epoch, "seconds": round(seconds, 2)}
    if checkpoint is not None and checkpoint.best_model_score is not None:
        best = {"monitor": task.monitor, "value": float(checkpoint.best_model_score), "checkpoint": "checkpoints/best.ckpt"}
        result["best"] = best | best_row(folder.metrics, task.monitor, task.mode)
    update_json(folder.results, result)
    closing(folder, json.loads(folder.results.read_text()), seconds, by_steps=trainer.max_steps > 0)


def best_row(path: Path, monitor: str, mode: str) -> dict[str, Any]:
    """Step and figures of the first of the best validations in metrics.csv; empty where it does not have what is monitored."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get(monitor) and monitor.startswith("val/")]
    if not rows:
        return {}
    best = (max if mode == "max" else min)(rows, key=lambda row: float(row[monitor]))
    return {
        "step": int(best["step"]),
        "figures": {name: float(value) for name, value in best.items() if name.startswith("val/") and value},
    }


def full_tree(config: dict[str, Any]) -> dict[str, Any]:
    """A saved config with every default and full class paths, so that it can be compared."""
    settings = Settings()
    settings.add(from_yaml(yaml.safe_dump(config), "the saved config"))
    return ProjectCLI(settings).config_tree
