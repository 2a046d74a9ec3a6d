"""From settings to a run: trainer, task and data are built here and meet."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
import yaml
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from project.cli.arguments import Request, config_text, merge, refuse_changes
from project.cli.parser import ProjectCLI
from project.cli.settings import Settings, from_yaml
from project.errors import UserError, clip
from project.runs import records
from project.runs.checkpoints import BestCheckpoint, SafeIO, locate, read, resumable
from project.runs.exact import ExactResume
from project.runs.files import write_atomic, write_json, write_text
from project.runs.folder import RunFolder
from project.runs.internals import NullProfiler
from project.runs.progress import bars
from project.spec import DataSpec
from project.tasks.base import Task, misfit

SETTLED = (
    ".*does not have many workers.*",  # batches come from memory: workers would slow them down
    ".*smaller than the logging interval.*",
    ".*LeafSpec.*",  # a deprecation between Lightning and torch
    ".*exists and is not empty.*",  # the run folder is claimed before the Trainer exists
    ".*WeightAveraging callback with a model that overrides.*",  # no sharding here
    ".*recommended to use .self.log.*sync_dist=True.*",  # what is logged has been reduced over the processes
    ".*Found keys that are not in the model state dict.*",
)
CHILD = "PROJECT_RUN_FOLDER"  # tells the other processes of a run where it is; set only while a run goes on


# ---------------------------------------------------------------------- fit


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
    """Build everything, train, and say how it ended."""
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
        print(f"{start.folder} is finished at step {start.state['global_step']}; --trainer.max_epochs prolongs it")
        return 0
    cli.build()
    task, data = cli.model, cli.datamodule
    task.config = config_text(tree)
    if start.state:
        data.restore(start.state["fitted"])
    # What can be wrong with data and network is known before the run has a folder.
    if not is_child():
        data.prepare_data()
    data.setup("fit")
    task.build(data.spec, data.fitted)
    if weights := request.path("--weights"):
        task.load_weights(read(locate(weights))["state_dict"])
    if tree["run"]["compile"]:
        task.net.compile()
    if tree["trainer"].get("fast_dev_run"):
        start.folder = None
    elif start.folder is None:
        start.folder, start.is_new = claim(tree), True
    folder = start.folder
    trainer = make_trainer(cli, start, tree)
    if folder is not None and trainer.is_global_zero:
        announce(folder, tree, start, changes)
    began, state = time.monotonic(), "failed"
    try:
        if folder is not None:
            os.environ[CHILD] = str(folder)
        trainer.fit(task, datamodule=data, ckpt_path=str(start.checkpoint) if start.checkpoint else None, weights_only=True)
        state = "finished"
    except (MisconfigurationException, ValueError) as error:
        if raised_by_lightning(error):
            raise UserError(f"trainer: {clip(error, 300)}") from error
        raise
    except SystemExit:
        state = "interrupted"
        if folder is not None and trainer.is_global_zero:
            print(f"stopped at step {trainer.global_step}; continue: python -m project fit --run {folder}", flush=True)
        raise
    finally:
        os.environ.pop(CHILD, None)
        if folder is not None and trainer.is_global_zero:
            update_json(folder.description, {"state": state})
    if folder is not None and trainer.is_global_zero:
        report(folder, trainer, task, time.monotonic() - began)
    return 0


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
            if not (_prolongs(request) and state["callbacks"]["ExactResume"]["mid_epoch_end"]):
                return
    elif given is not None:
        start.checkpoint = locate(given)
        start.state = read(start.checkpoint)
        if "optimizer_states" not in start.state:
            raise UserError(f"--ckpt_path {given}: it holds weights only; --weights {given} starts a new run with them")


def _prolongs(request: Request) -> bool:
    """Whether a limit is written: the end of a run that max_steps stopped inside an epoch is no place to go on from."""
    return any(key in ("trainer.max_steps", "trainer.max_epochs") for key, _ in request.assignments)


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


def make_trainer(cli: ProjectCLI, start: Start, tree: dict[str, Any]) -> L.Trainer:
    """The Trainer with the machinery around a user's own callbacks and loggers.

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
    first: list[Any] = [ExactResume(None, tree["run"]["save_every"], None)]
    if folder is not None:
        metrics = records.MetricsFile(folder)
        first = [ExactResume(folder, tree["run"]["save_every"], metrics)]
        loggers.insert(0, metrics)
        if tree["run"]["tensorboard"] and wanted is not False:
            step = start.state["global_step"] + 1 if start.state else None
            loggers.append(records.Events(folder, step))
        callbacks.append(records.Predictions(folder))
        callbacks.append(BestCheckpoint(folder.checkpoints, cli.model.monitor, cli.model.mode))
    callbacks.append(records.Epochs(folder))
    if arguments.get("enable_progress_bar") is not False:
        callbacks += bars()
        arguments["enable_progress_bar"] = any(isinstance(c, ProgressBar) for c in callbacks)
    arguments.setdefault("profiler", None)
    arguments["profiler"] = arguments["profiler"] or NullProfiler()
    arguments["enable_checkpointing"] = folder is not None
    plugins = arguments.pop("plugins", None) or []
    try:
        return L.Trainer(
            **arguments,
            callbacks=[*first, *callbacks],
            logger=loggers or False,
            plugins=[*(plugins if isinstance(plugins, list) else [plugins]), SafeIO()],
        )
    except Exception as error:
        raise UserError(f"trainer: {clip(error, 200)}") from error


def announce(folder: RunFolder, tree: dict[str, Any], start: Start, changes: list[str]) -> None:
    """Say where the run is, write its config and description."""
    if start.state:
        print(f"continuing {folder} from step {start.state['global_step']}")
        for line in changes:
            print(f"  {line}")
        if not folder.metrics.exists() and start.checkpoint:  # a new run from another's checkpoint takes its records along
            origin = RunFolder(start.checkpoint.parent.parent)
            for source, target in ((origin.metrics, folder.metrics), (origin.epochs, folder.epochs)):
                if source.is_file():
                    shutil.copyfile(source, target)
    else:
        print(f"run {folder}; if it is stopped, this continues it: python -m project fit --run {folder}")
    sys.stdout.flush()
    write_text(folder.config, config_text(tree))
    description = {
        "command": records.command_line(),
        "seed": tree["seed_everything"],
        "state": "running",
        **records.environment(),
        "git": records.git_state(Path(__file__).parent),
    }
    write_json(folder.description, description)


def report(folder: RunFolder, trainer: L.Trainer, task: Task, seconds: float) -> None:
    """Write results.json; print how it ended and what to do next."""
    best: Any = trainer.checkpoint_callback
    figures = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    result: dict[str, Any] = {"last": figures, "parameters": sum(p.numel() for p in task.net.parameters())}
    result |= {"steps": trainer.global_step, "epochs": trainer.current_epoch, "seconds": round(seconds, 2)}
    print(f"finished {folder} in {seconds:.1f} s")
    if best is not None and best.best_model_score is not None:
        result["best"] = {"monitor": task.monitor, "value": float(best.best_model_score), "checkpoint": "checkpoints/best.ckpt"}
        print(f"best      {task.monitor} {float(best.best_model_score):.4f}")
    update_json(folder.results, result)
    print(f"test      python -m project test --ckpt_path {folder}")
    print(f"look      tensorboard --logdir {folder}")


# ---------------------------------------------------------------------- validate, test, predict


def evaluate(request: Request) -> int:
    """Run a checkpoint over a split; returns the exit code."""
    given = request.path("--ckpt_path")
    if given is None:
        raise UserError(f"{request.command} needs --ckpt_path RUN (a run folder or a checkpoint file)")
    path = locate(given)
    state = read(path)
    cli = ProjectCLI(merge(request, from_yaml(state["config"], f"the config in {path}")))
    tree = cli.config_tree
    settle_threads(tree)
    if request.print_config:
        print(config_text(tree), end="")
        return 0
    check_devices(tree["trainer"])
    cli.build()
    task, data = cli.model, cli.datamodule
    data.restore(state["fitted"])
    restore_task(task, state, path)
    arguments = {
        key: value
        for key, value in cli.trainer_arguments.items()
        if key not in ("callbacks", "logger", "plugins", "profiler", "fast_dev_run")
    }
    folder = RunFolder(given) if given.is_dir() else RunFolder(path.parent.parent) if path.parent.name == "checkpoints" else None
    predicts = request.command == "predict"
    kept = records.Predictions(None if predicts else folder)
    bar = bars()
    try:
        trainer = L.Trainer(
            **arguments | {"enable_progress_bar": bool(bar), "enable_checkpointing": False},
            callbacks=[*([kept] if predicts or folder else []), *bar],
            logger=False,
            plugins=[SafeIO()],
        )
    except Exception as error:
        raise UserError(f"trainer: {clip(error, 200)}") from error
    if predicts:
        trainer.predict(task, datamodule=data, return_predictions=False)
        columns = kept.columns()
        if trainer.is_global_zero:
            write_predictions(task, columns, Path(request.options.get("--output", "predictions.csv")))
        return 0
    run = trainer.validate if request.command == "validate" else trainer.test
    run(task, datamodule=data, verbose=False)
    figures = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    if trainer.is_global_zero:
        for name, value in figures.items():
            print(f"{name:<16} {value:.6f}")
        if folder is not None:
            split = "val" if request.command == "validate" else "test"
            update_json(folder.results, {split: {**figures, "checkpoint": path.name}})
    return 0


def write_predictions(task: Task, kept: tuple[torch.Tensor, torch.Tensor, torch.Tensor], path: Path) -> None:
    """predictions.csv: id, what is predicted, and the target."""
    ids, targets, predictions = kept
    columns: dict[str, list[Any]] = {"id": ids.tolist(), **task.readable(predictions), "target": task.readable_targets(targets)}
    lines = [records.csv_line(list(columns))]
    lines += [records.csv_line(list(row)) for row in zip(*columns.values(), strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: file.write(b"".join(lines)))
    print(f"{len(ids):,} predictions in {path}")


def restore_task(task: Task, state: dict[str, Any], path: Path) -> None:
    """Build the task as the checkpoint was built, and give it the checkpoint's weights.

    Raises:
        UserError: the weights do not fit what the settings build.
    """
    task.build(DataSpec.from_dict(state["fitted"]["spec"]), state["fitted"])
    if reason := misfit(state["state_dict"], task.state_dict()):
        raise UserError(f"checkpoint {path}: its weights do not fit {type(task.net).__name__}: {reason}")
    task.load_state_dict(state["state_dict"])


def load(path: str | Path) -> Task:
    """The trained task of a run folder or checkpoint file, in eval mode, with its `spec` and `fitted`; runs no code of the file.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    file = locate(Path(path))
    state = read(file)
    settings = Settings()
    settings.add(from_yaml(state["config"], f"the config in {file}"))
    cli = ProjectCLI(settings)
    cli.build()
    restore_task(cli.model, state, file)
    return cli.model.eval()


# ---------------------------------------------------------------------- shared steps


@contextlib.contextmanager
def quiet(debug: bool) -> Iterator[None]:
    """Without Lightning's tips and start-up notes, and without warnings about what is settled here on purpose."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        if not debug:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            for message in SETTLED:
                warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def full_tree(config: dict[str, Any]) -> dict[str, Any]:
    """A saved config with every default and full class paths, so that it can be compared."""
    settings = Settings()
    settings.add(from_yaml(yaml.safe_dump(config), "the saved config"))
    return ProjectCLI(settings).config_tree


def settle_threads(tree: dict[str, Any]) -> None:
    """CPU threads of this process: as set, or all cores shared by the processes of this machine; kept in the config."""
    if tree["run"]["threads"] is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        devices = str(tree["trainer"].get("devices"))
        processes = int(devices) if devices.isdecimal() else 1
        tree["run"]["threads"] = max(1, cores // processes)
    torch.set_num_threads(tree["run"]["threads"])


def check_devices(trainer: dict[str, Any]) -> None:
    """Refuse more processes than the machine has places for: Lightning would start them all.

    Raises:
        UserError: too many devices are asked for.
    """
    devices, accelerator = str(trainer.get("devices")), str(trainer.get("accelerator"))
    if devices.lstrip("-").isdecimal() and int(devices) < -1:
        raise UserError(f"--trainer.devices {devices}: expected a number of devices, auto, or -1 for all")
    on_cpu = accelerator == "cpu" or (
        accelerator == "auto" and not (torch.cuda.is_available() or torch.backends.mps.is_available())
    )
    there = (os.cpu_count() or 1) if on_cpu else torch.cuda.device_count() or 1
    if devices.isdecimal() and int(devices) > max(there, 2 if on_cpu else 1):
        raise UserError(f"--trainer.devices {devices}: this machine has {there} {'CPU cores' if on_cpu else 'devices'}")


@rank_zero_only
def update_json(path: Path, values: dict[str, Any]) -> None:
    known = json.loads(path.read_text()) if path.is_file() else {}
    write_json(path, known | values)
