"""`validate`, `test` and `predict`: a checkpoint, and nothing else, gives figures and predictions;
`load` gives the task.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch

from ..bases.task import Task
from ..building.weights import misfit
from ..errors import UserError, clip
from ..runs.checkpoints import SafeIO, locate, read, resumable
from ..runs.files import csv_line, update_json, write_atomic
from ..runs.folder import RunFolder
from ..runs.predictions import Predictions
from ..runs.progress import bars
from ..spec import DataSpec
from .arguments import Request, config_text, merge
from .machine import check_devices, settle_threads
from .parser import ProjectCLI
from .settings import Settings, from_yaml


def evaluate(request: Request) -> int:
    """Run a checkpoint over a split; returns the exit code."""
    given = request.path("--ckpt_path")
    if given is None:
        raise UserError(
            f"{request.command} needs --ckpt_path RUN (a run folder or a checkpoint file)"
        )
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
    data.restore(state["preprocessing"])
    restore_task(task, state, path)
    arguments = {
        key: value
        for key, value in cli.trainer_arguments.items()
        if key not in ("callbacks", "logger", "plugins", "profiler", "fast_dev_run")
    }
    folder = (
        RunFolder(given)
        if given.is_dir()
        else RunFolder(path.parent.parent)
        if path.parent.name == "checkpoints"
        else None
    )
    predicts = request.command == "predict"
    kept = Predictions(None if predicts else folder)
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
            write_predictions(
                task,
                columns,
                Path(request.options.get("--output", "predictions.csv")),
                data.targets_known,
            )
        return 0
    run = trainer.validate if request.command == "validate" else trainer.test
    run(task, datamodule=data, verbose=False)
    figures = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    if trainer.is_global_zero:
        for name, value in figures.items():
            print(f"{name:<16} {value:.6f}")
        if folder is not None:
            split = "val" if request.command == "validate" else "test"
            update_json(
                folder.results,
                {split: {**figures, "checkpoint": path.name, "step": state["global_step"]}},
            )
            request.to_report = folder.path if tree["run"]["report"] else None
    return 0


def write_predictions(
    task: Task,
    kept: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    path: Path,
    with_targets: bool = True,
) -> None:
    """predictions.csv: id, what is predicted, and the target where it is known."""
    ids, targets, predictions = kept
    columns: dict[str, list[Any]] = {"id": ids.tolist(), **task.to_columns(predictions)}
    if with_targets:
        columns["target"] = task.target_columns(targets)
    lines = [csv_line(list(columns))]
    lines += [csv_line(list(row)) for row in zip(*columns.values(), strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: file.write(b"".join(lines)))
    print(f"{len(ids):,} predictions in {path}")


def restore_task(task: Task, state: dict[str, Any], path: Path) -> None:
    """Build the task as the checkpoint was built, and give it the checkpoint's weights.

    Raises:
        UserError: the weights do not fit what the settings build.
    """
    task.build(DataSpec.from_dict(state["preprocessing"]["spec"]), state["preprocessing"])
    if found := misfit(state["state_dict"], task.state_dict()):
        raise UserError(
            f"checkpoint {path}: its weights do not fit {type(task.net).__name__}: {found[1]}"
        )
    task.load_state_dict(state["state_dict"])


def load(path: str | Path) -> Task:
    """The trained task of a run folder or checkpoint file, in eval mode, with its `spec` and
    `preprocessing`; runs no code of the file.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    file = locate(Path(path))
    state = read(file)
    settings = Settings()
    settings.add(from_yaml(state["config"], f"the config in {file}"))
    cli = ProjectCLI(settings, seeds=False)
    cli.build()
    restore_task(cli.model, state, file)
    return cli.model.eval()


def load_optimizer(path: str | Path, task: Task) -> torch.optim.Optimizer:
    """The optimizer of a run over the parameters of `task`, with the state of a step-*.ckpt file,
    or of a folder's newest.

    Its `state_dict()` can be saved alone, and loaded into an optimizer over the same groups of
    parameters.

    Raises:
        UserError: there is no such checkpoint, or it holds weights only.
    """
    where = Path(path)
    newest = (
        next((file for file, _ in resumable(RunFolder(where))), None) if where.is_dir() else None
    )
    state = read(newest or locate(where))
    if "optimizer_states" not in state:
        raise UserError(f"{path}: it holds no optimizer; the step-*.ckpt files of a run do")
    optimizer = task.build_optimizer()
    optimizer.load_state_dict(state["optimizer_states"][0])
    return optimizer
