"""`fit` from settings to a finished run: trainer, task and data are built here and meet."""

from __future__ import annotations

import contextlib
import copy
import csv
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from ..bases.data import DataModule
from ..bases.task import Task
from ..building.weights import describe
from ..errors import NotFinite, UserError, clip, passed_through, raised_in, suggest
from ..ranks import meet_again
from ..registry import PROGRAM
from ..runs import trackers
from ..runs.checkpoints import locate, read_weights
from ..runs.exact import ExactResume, Stop
from ..runs.files import read_json, update_json, write_text
from ..runs.folder import RunFolder
from ..runs.records import Epochs, MetricsFile
from ..runs.saved import Saved
from .arguments import config_text, refuse_changes
from .describe import description, parameters, refuse_other_data
from .evaluation import load
from .parser import ProjectCLI, parse
from .settings import Settings, from_yaml
from .start import (
    CHILD,
    claim,
    find_start,
    full_tree,
    is_child,
    is_finished,
    refuse_writing_elsewhere,
)
from .summary import closing, opening, show_weights
from .trainer import chosen_loggers, go_on_in, make_trainer, settle_logging

LIMITS = ("trainer", "run")  # the groups that may change when a run continues


def fit(
    settings: Settings,
    *,
    run: Path | None = None,
    checkpoint: Path | None = None,
    weights: Path | None = None,
    fresh: str | None = None,
    callbacks: Sequence[Callback] = (),
    notes: Mapping[str, Any] | None = None,
    only_print: Literal["config", "init"] | None = None,
) -> RunFolder | None:
    """Train: a new run, or the continuation of one.

    Args:
        settings: What was written in files and on the command line.
        run: The folder to write to, or to continue from.
        checkpoint: A step-*.ckpt file that a new run continues from.
        weights: A run or checkpoint whose weights a new run begins with.
        fresh: A pattern of parameters that keep their initial weights.
        callbacks: Further ones of the caller, behind all others.
        notes: Further keys of run.json.
        only_print: Print the effective config or the initial weights instead.

    Returns:
        The run's folder; None where nothing was to be kept.

    Raises:
        UserError: what was asked cannot be done; nothing is left behind.
        SystemExit: the run was asked to stop.
    """
    start = find_start(run, checkpoint, settings)
    folder, saved, is_new = start.folder, start.saved, start.is_new
    try:
        settings = over_what_is_there(settings, folder, saved)
        cli = parse(settings, print_config=only_print == "config")
        if cli is None:
            return None
        tree = cli.config_tree
        changes = []
        if saved and saved.config != config_text(tree):
            changes = refuse_changes(tree, full_tree(saved.tree), folder or saved.path)
        if saved and is_finished(saved, tree["trainer"]):
            if folder is not None:
                update_json(folder.description, {"state": "finished"})
            hint = "a callback ended it" if saved.end.should_stop else ""
            hint = hint or "--trainer.max_epochs prolongs it"
            if not is_child():
                print(f"{folder} is finished at step {saved.step}; {hint}")
            return folder
        go_on_in(cli, folder)
        assemble(cli, saved, weights, fresh)
        if saved and folder and folder.description.is_file():
            refuse_other_data(cli.datamodule.summary(), folder)
        if only_print == "init":
            show_weights(describe(cli.model.net, cli.model.initialised))
            return None
        if tree["trainer"].get("fast_dev_run"):
            trainer = make_trainer(cli, None, saved, callbacks)
            run_to_the_end(trainer, cli, None, saved)
            return None
        if weights:
            notes = {**(notes or {}), "weights": {"digest": digest_of(weights), "fresh": fresh}}
        if folder is None:
            folder, is_new = claim(tree), not is_child()
        trainer = make_trainer(cli, folder, saved, callbacks)
        if trainer.is_global_zero:
            announce(folder, cli, trainer, saved, changes, notes or {})
        run_to_the_end(trainer, cli, folder, saved)
        if trainer.is_global_zero:
            report(folder, trainer, cli)
            update_json(folder.description, {"state": "finished"})
        return folder
    except UserError as error:
        if folder is not None and is_new:
            folder.discard_if_unused(even_begun=not isinstance(error, NotFinite))
        raise
    finally:
        if folder is not None:
            folder.close()


def over_what_is_there(
    settings: Settings, folder: RunFolder | None, saved: Saved | None
) -> Settings:
    """The settings over those of the checkpoint, and over the limits that the folder has by now.

    A run that was prolonged and killed before its next checkpoint has them in its config.yaml only.

    Raises:
        UserError: nothing says what is to be trained.
    """
    in_folder = None
    if folder and folder.config.is_file():
        in_folder = from_yaml(folder.config.read_text(), str(folder.config))
    if saved:
        below = from_yaml(saved.config, f"the config in {saved.path}")
        if in_folder is not None:
            known = {key: in_folder.tree[key] for key in LIMITS if key in in_folder.tree}
            below.tree.update(known)
        if folder is not None:
            refuse_writing_elsewhere(settings.tree, below.tree, folder.path)
        return settings.over(below)
    if folder and not settings.configs and set(settings.tree) <= {*LIMITS, "name"}:
        if in_folder is None:
            near = [str(path.parent) for path in folder.path.parent.glob("*/config.yaml")]
            hint = f"; {suggest(str(folder), near, 'there are')}" if near else ""
            raise UserError(
                f"--run {folder}: no checkpoint to continue from, and no --config for a new "
                f"run{hint}"
            )
        return settings.over(in_folder)
    return settings


def assemble(
    cli: ProjectCLI,
    saved: Saved | None = None,
    weights: Path | None = None,
    fresh: str | None = None,
) -> None:
    """Build task, data and network, before the run has a folder: what is wrong is known by then."""
    cli.build()
    task, data = cli.model, cli.datamodule
    if saved:
        data.restore(saved.preprocessing)
    if not is_child():
        data.prepare_data()
    data.setup("fit")
    if not data.has_validation:
        cli.trainer_arguments["limit_val_batches"] = 0
    settle_logging(cli)
    task.config = config_text(cli.config_tree)
    task.build(data.spec, data.preprocessing)
    refuse_single_sample(task, data)
    task.load_dependencies(load)
    if fresh and not weights:
        raise UserError(
            "--fresh says which of the weights of --weights RUN are left out; there is no --weights"
        )
    if weights:
        task.load_weights(read_weights(locate(weights)), fresh, f"--weights {weights}")
    elif not saved:
        task.load_pretrained()
        task.look_at(data)
    if cli.config_tree["run"]["compile"]:
        task.net.compile()


def digest_of(weights: Path) -> str:
    with open(locate(weights), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def refuse_single_sample(task: Task, data: DataModule) -> None:
    """Refuse a last training batch of one sample where batch norm needs several.

    Raises:
        UserError: names both ways out.
    """
    samples = len(data.loaded("train"))
    single = data.batch_size == 1 or (samples % data.batch_size == 1 and not data.drop_last)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if not single or not any(isinstance(module, kinds) for module in task.net.modules()):
        return
    net = copy.deepcopy(task.net).train()
    try:
        with torch.no_grad():
            net(*(torch.zeros(1, *shape) for shape in data.spec.inputs))
    except ValueError:
        raise UserError(
            f"of {samples:,} training samples in batches of {data.batch_size} the last batch has "
            "one, which batch norm cannot normalise: --data.drop_last true leaves it out, another "
            "--data.batch_size divides them otherwise"
        ) from None


def run_to_the_end(
    trainer: L.Trainer, cli: ProjectCLI, folder: RunFolder | None, saved: Saved | None
) -> None:
    """Train until the limits, a signal or an error; run.json keeps which it was."""
    state = "failed"
    checkpoint = str(saved.path) if saved else None
    try:
        meet_again()
        if folder is not None:
            os.environ[CHILD] = str(folder)
        trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
        state = "running"  # its results are still to be written
    except UserError:
        raise
    except Exception as error:
        if mistake := mistake_in(error, cli.model):
            raise mistake from error
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        received = next(c for c in callbacks if isinstance(c, ExactResume)).signals.received
        if not received or not isinstance(error, RuntimeError):
            raise
        # The signal has reached the processes that read data, too; the last checkpoint holds.
        state = "interrupted"
        raise SystemExit(128 + received) from error
    except SystemExit as stop:
        state = stop.state if isinstance(stop, Stop) else "interrupted"
        if folder is not None and trainer.is_global_zero:
            print(
                f"stopped at step {trainer.global_step}; continue: {PROGRAM} fit --run {folder}",
                flush=True,
            )
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise SystemExit(130) from None  # before the first step, where Lightning exits with 1
        raise
    finally:
        os.environ.pop(CHILD, None)
        if folder is not None and trainer.is_global_zero:
            # It may have failed for its folder.
            with contextlib.suppress(*([UserError] if state == "failed" else [])):
                update_json(folder.description, {"state": state})


def mistake_in(error: Exception, task: Task) -> UserError | None:
    """What an error in training says of the settings; None when it is a bug."""
    refused = (MisconfigurationException, ValueError, ModuleNotFoundError)
    if isinstance(error, refused) and raised_in(error, "lightning"):
        return UserError(f"trainer: {clip(error, 300)}")
    if passed_through(error, "torch.nn.modules.loss"):
        loss, name = type(task.loss).__name__, type(task).__name__
        return UserError(
            f"`model.loss`: {loss} does not fit the predictions and targets of {name}: "
            f"{clip(error, 200)}"
        )
    if isinstance(error, RuntimeError) and raised_in(error, "torch.optim"):
        return UserError(f"`model.optimizer`: {clip(error, 200)}")
    if isinstance(error, RuntimeError) and raised_in(error, "lightning.pytorch.callbacks"):
        return UserError(f"--trainer.callbacks: {clip(error, 300)}")
    return None


def announce(
    folder: RunFolder,
    cli: ProjectCLI,
    trainer: L.Trainer,
    saved: Saved | None,
    changes: Sequence[str],
    notes: Mapping[str, Any],
) -> None:
    """Say where the run is, write its config and description."""
    if saved:
        print(f"continuing {folder} from step {saved.step}")
        for line in changes:
            print(f"  {line}")
        if not folder.metrics.exists():
            take_records(folder, RunFolder(saved.path.parent.parent))
    described = description(folder, cli, saved) | ({} if saved else dict(notes))
    if given := chosen_loggers(cli.trainer_arguments.get("logger")):
        metrics = next(one for one in trainer.loggers if isinstance(one, MetricsFile))
        known = parameters(cli.config_tree)
        described["trackers"] = trackers.begin(given, metrics, folder, known)
    if not saved:
        opening(folder, cli, trainer, described)
    sys.stdout.flush()
    write_text(folder.config, config_text(cli.config_tree))
    update_json(folder.description, described)


def take_records(folder: RunFolder, origin: RunFolder) -> None:
    """Copy the records of the run whose checkpoint a new run continues from."""
    events = origin.path.glob("events.out.tfevents.*")
    for source in (origin.metrics, origin.epochs, origin.description, *events):
        if source.is_file():
            shutil.copyfile(source, folder.path / source.name)


def report(folder: RunFolder, trainer: L.Trainer, cli: ProjectCLI) -> None:
    """Write results.json and print what is in it."""
    task, best = cli.model, trainer.checkpoint_callback
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    seconds = next(c for c in callbacks if isinstance(c, Epochs)).seconds
    metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    result: dict[str, Any] = {
        "last": metrics,
        "parameters": sum(p.numel() for p in task.net.parameters()),
        "steps": trainer.global_step,
        "epochs": trainer.current_epoch,
        "seconds": round(seconds, 2),
    }
    score = getattr(best, "best_model_score", None)
    if score is not None:
        result["best"] = {
            "monitor": task.monitor,
            "value": float(score),
            "checkpoint": "checkpoints/best.ckpt",
            **best_row(folder.metrics, task.monitor, task.mode),
        }
    update_json(folder.results, result)
    limit = "max_steps" if trainer.max_steps > 0 else "max_epochs"
    closing(folder, read_json(folder.results), seconds, None if trainer.should_stop else limit)


def best_row(path: Path, monitor: str, mode: str) -> dict[str, Any]:
    """Step and metrics of the first of the best validations in metrics.csv; empty without one."""
    with open(path, newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row.get(monitor) and monitor.startswith("val/")
        ]
    if not rows:
        return {}
    best = (max if mode == "max" else min)(rows, key=lambda row: float(row[monitor]))
    return {
        "step": int(best["step"]),
        "metrics": {
            name: float(value) for name, value in best.items() if name.startswith("val/") and value
        },
    }
