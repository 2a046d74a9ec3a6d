"""A training of a few steps over the task and the data of `fit`, which leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import BaseFinetuning, Callback

from ..cli.arguments import CommandLine, merge
from ..cli.fitting import assemble
from ..cli.parser import ProjectCLI, parse
from ..cli.trainer import as_list, build_trainer
from ..errors import UserError, clip
from ..runs.exact import ExactResume

NEVER = 10**9
# What a short training decides for itself: one device, no end, no validation, no records.
OWN_PACE: dict[str, Any] = {
    "max_epochs": -1,
    "min_epochs": None,
    "min_steps": None,
    "max_time": None,
    "fast_dev_run": False,
    "check_val_every_n_epoch": 1,
    "val_check_interval": None,
    "num_sanity_val_steps": 0,
    "limit_val_batches": 0,
    "overfit_batches": 0.0,
    "default_root_dir": None,
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "logger": False,
    "enable_progress_bar": False,
    "enable_checkpointing": False,
}


def prepared(request: CommandLine) -> ProjectCLI | None:
    """Task and data of a command line, as fit assembles them, without a schedule; None when
    settings were only to be printed.
    """
    cli = parse(merge(request), request.print_config)
    if cli is None:
        return None
    weights, fresh = request.path("--weights"), request.options.get("--fresh")
    assemble(cli, weights=weights, fresh=fresh)
    cli.model.make_schedule = None
    return cli


def train(cli: ProjectCLI, callback: Callback, steps: int = -1) -> None:
    """Train so many optimizer steps at a constant rate, on one device and without validation,
    watched by a callback.

    Of the callbacks of the config only those that freeze parts of the network remain: the others
    watch validations.
    """
    own = as_list(cli.trainer_arguments.get("callbacks"))
    freezing = [one for one in own if isinstance(one, BaseFinetuning)]
    callbacks = [ExactResume(None, NEVER, None), *freezing, callback]
    trainer = build_trainer(cli, {**OWN_PACE, "max_steps": steps, "callbacks": callbacks})
    cli.model.train()  # as a training before has left it
    trainer.fit(cli.model, datamodule=cli.datamodule)


def number_above(request: CommandLine, option: str, default: float, least: float) -> float:
    """A number given by an option of the command.

    Raises:
        UserError: it is none, or below the least.
    """
    text = request.options.get(option)
    try:
        value = default if text is None else float(text)
    except ValueError:
        raise UserError(f"{option}: expected a number, got {clip(text)!r}") from None
    if not least <= value < float("inf"):
        raise UserError(f"{option} {text}: expected a number of at least {least:g}")
    return value


def picture_path(request: CommandLine, default: str) -> Path:
    """Where the picture goes.

    Raises:
        UserError: it is no PNG, or its folder is not there.
    """
    path = Path(request.options.get("--output", default))
    if path.suffix != ".png":
        raise UserError(f"--output {path}: expected the name of a picture, as in {default}")
    if not path.parent.is_dir():
        raise UserError(f"--output {path}: there is no folder {path.parent}")
    return path
