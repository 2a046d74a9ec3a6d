"""`validate`, `test` and `predict`: metrics and predictions from a checkpoint alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..bases.data import DataModule
from ..bases.task import Task
from ..building.calibration import calibration_error, temperature
from ..building.weights import misfit
from ..errors import UserError
from ..runs.checkpoints import SafeIO, locate, read, resumable
from ..runs.files import update_json
from ..runs.folder import RunFolder
from ..runs.predictions import Predictions
from ..runs.progress import bars
from ..runs.rows import RowsFile
from ..runs.saved import Saved
from ..spec import DataSpec
from .describe import refuse_other_data
from .parser import ProjectCLI, parse
from .settings import Layer, Settings, from_yaml
from .trainer import build_trainer

TAKEN = ("id", "file", "fold", "target")  # columns of predictions.csv that are not predicted
Kept = tuple[Tensor, Tensor, Tensor]  # ids, targets, predictions


def evaluate(
    action: Literal["validate", "test", "predict"],
    checkpoint: Path,
    settings: Settings,
    output: Path = Path("predictions.csv"),
    print_config: bool = False,
    calibrate: bool = False,
) -> dict[str, float]:
    """Run a checkpoint over a split.

    Args:
        action: What to do with it.
        checkpoint: A run folder or a checkpoint file.
        settings: Over the checkpoint's config.
        output: Where `predict` writes.
        print_config: Print the effective config instead.
        calibrate: Fit a temperature on the validation split and say what it changes in a test.

    Returns:
        The metrics by name; none of `predict`.

    Raises:
        UserError: the checkpoint, the data or the settings do not go together.
    """
    saved = read(locate(checkpoint))
    cli = parse(settings.over(config_of(saved)), print_config)
    if cli is None:
        return {}
    cli.build()
    task, data = cli.model, cli.datamodule
    data.restore(saved.preprocessing)
    predicts, folder = action == "predict", folder_of(checkpoint)
    data.predicting = predicts  # before its files are listed
    restore_task(task, saved)
    if folder and folder.description.is_file() and tests_a_share(data, settings):
        data.prepare_data()
        data.setup("fit")
        refuse_other_data(data.summary(), folder)
    kept, said = Predictions(None if predicts else folder), Predictions(None)
    if calibrate:
        refuse_uncalibrated(task, data)
    bar = bars()
    own: dict[str, Any] = {
        "logger": False,
        "plugins": [SafeIO()],
        "profiler": None,
        "fast_dev_run": False,
        "enable_progress_bar": bool(bar),
        "enable_checkpointing": False,
        "callbacks": [*([kept] if predicts or folder or calibrate else []), *bar],
    }
    trainer = build_trainer(cli, own)
    if predicts:
        trainer.predict(task, datamodule=data, return_predictions=False)
        columns = kept.columns()
        if trainer.is_global_zero:
            write_predictions(task, data, columns, output)
        return {}
    (trainer.validate if action == "validate" else trainer.test)(
        task, datamodule=data, verbose=False
    )
    metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    if calibrate:
        judge = build_trainer(cli, own | {"callbacks": [said, *bar]})
        judge.validate(task, datamodule=data, verbose=False)
        metrics |= calibration(said.columns(), kept.columns())
    if trainer.is_global_zero:
        for name, value in metrics.items():
            print(f"{name:<16} {value:.6f}")
        if folder is not None:
            split = "val" if action == "validate" else "test"
            result = {**metrics, "checkpoint": saved.path.name, "step": saved.step}
            update_json(folder.results, {split: result})
    return metrics


def refuse_uncalibrated(task: Task, data: DataModule) -> None:
    """Refuse to calibrate what gives no probabilities of classes, or has nothing to fit them by.

    Raises:
        UserError: says which.
    """
    assert task.spec is not None
    if type(task).chances is Task.chances or task.spec.target != "class":
        raise UserError("--calibrate is for one class of several, or yes and no")
    if not data.has_validation:
        raise UserError("--calibrate fits the validation split, and there is none")


def calibration(fitted: Kept, tested: Kept) -> dict[str, float]:
    """The temperature that fits one split, and the calibration error of another before and after
    it.
    """
    _, truth, logits = fitted
    heat = temperature(logits, truth)
    _, truth, logits = tested
    return {
        "test/temperature": heat,
        "test/ece": calibration_error(logits, truth),
        "test/ece calibrated": calibration_error(logits / heat, truth),
    }


def tests_a_share(data: DataModule, settings: Settings) -> bool:
    """Whether what is tested is a share of the files that the run was trained on, and would hold
    some of what was trained on if they had changed.
    """
    return "data" not in settings.tree and "test" not in data.splits


def config_of(saved: Saved) -> Layer:
    """The config of a checkpoint, which downloads nothing: who wants that says so."""
    layer = from_yaml(saved.config, f"the config in {saved.path}")
    arguments = (layer.tree.get("data") or {}).get("init_args") or {}
    if "download" in arguments:
        arguments["download"] = False
    return layer


def folder_of(checkpoint: Path) -> RunFolder | None:
    """The run folder that a checkpoint lies in; None of one that lies elsewhere."""
    if checkpoint.is_dir():
        return RunFolder(checkpoint)
    return RunFolder(checkpoint.parent.parent) if checkpoint.parent.name == "checkpoints" else None


def write_predictions(task: Task, data: DataModule, kept: Kept, path: Path) -> None:
    """Write predictions.csv: id, file, what is predicted, and the target where it is known."""
    ids, targets, predictions = kept
    known = targets if data.targets_known else None
    columns = prediction_columns(task, ids, known, predictions)
    columns = {"id": columns.pop("id")} | data.sample_columns("test", ids.tolist()) | columns
    with RowsFile(path) as file:
        file.write(columns)
    print(f"{len(ids):,} predictions in {path}")


def prediction_columns(
    task: Task, ids: Tensor, targets: Tensor | None, predictions: Tensor, top: int = 1
) -> dict[str, list[Any]]:
    """The columns of predictions.csv, so many classes among them; one that is predicted takes no
    other's name.
    """
    columns: dict[str, list[Any]] = {"id": ids.tolist()}
    for name, values in task.answer_columns(predictions, top).items():
        columns[f"predicted {name}" if name in TAKEN else name] = values
    if targets is not None:
        columns["target"] = task.target_columns(targets)
    return {name: shortest_of(values) for name, values in columns.items()}


def shortest_of(values: list[Any]) -> list[Any]:
    """Numbers that were kept as float32 as a person wrote them: 6.1 and not 6.099999904632568."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return list(map(float, np.asarray(values, np.float32).astype("U").tolist()))
    if list not in kinds:
        return values
    return [shortest_of(value) if isinstance(value, list) else value for value in values]


def restore_task(task: Task, saved: Saved) -> None:
    """Build the task as the checkpoint's was built, and give it the checkpoint's weights.

    Raises:
        UserError: the weights do not fit what the settings build.
    """
    task.build(DataSpec.from_dict(saved.preprocessing["spec"]), saved.preprocessing)
    if found := misfit(saved.weights, task.state_dict()):
        name = type(task.net).__name__
        raise UserError(f"checkpoint {saved.path}: its weights do not fit {name}: {found[1]}")
    task.load_state_dict(saved.weights)


def load(path: str | Path, over: Settings | None = None) -> Task:
    """Return the trained task of a run folder or checkpoint file, in eval mode.

    It has its `spec` and `preprocessing`, and `predict` for new inputs; no code of the file is run.

    Args:
        path: The run folder or checkpoint file.
        over: Settings over those of the checkpoint, as where its data is now.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    saved = read(locate(Path(path)))
    cli = ProjectCLI((over or Settings()).over(config_of(saved)), seeds=False)
    cli.build()
    restore_task(cli.model, saved)
    cli.datamodule.restore(saved.preprocessing)
    cli.model.reader = cli.datamodule
    return cli.model.eval()


def load_optimizer(path: str | Path, task: Task) -> torch.optim.Optimizer:
    """Return the optimizer of a run over the parameters of `task`, with its saved state.

    The state is that of a step-*.ckpt file, or of a folder's newest. Its `state_dict()` can be
    saved alone, and loaded into an optimizer over the same groups of parameters.

    Raises:
        UserError: there is no such checkpoint, or it holds weights only.
    """
    where = Path(path)
    saved = next(resumable(RunFolder(where)), None) if where.is_dir() else None
    saved = saved or read(locate(where))
    if not saved.is_resumable:
        raise UserError(f"{path}: it holds no optimizer; the step-*.ckpt files of a run do")
    optimizer = task.build_optimizer()
    optimizer.load_state_dict(saved.content["optimizer_states"][0])
    return optimizer
