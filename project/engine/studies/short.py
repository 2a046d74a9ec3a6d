"""A training of a few steps over the task and the data of `fit`, which leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import BaseFinetuning, Callback

from ..cli.arguments import Request, config_text, merge
from ..cli.beginning import Start
from ..cli.fitting import assemble, build_trainer
from ..cli.machine import check_devices, settle_threads
from ..cli.parser import ProjectCLI
from ..errors import UserError, clip
from ..runs.exact import ExactResume

NEVER = 10**9
OWN_PACE = (  # what a short training decides for itself
    *(
        "max_epochs",
        "min_epochs",
        "max_steps",
        "min_steps",
        "max_time",
        "logger",
        "callbacks",
        "fast_dev_run",
    ),
    *(
        "check_val_every_n_epoch",
        "val_check_interval",
        "num_sanity_val_steps",
        "limit_val_batches",
        "overfit_batches",
        "default_root_dir",
    ),
    *("devices", "num_nodes", "strategy", "enable_progress_bar", "enable_checkpointing"),
)


def prepared(request: Request) -> ProjectCLI | None:
    """Task and data of a command line, as fit assembles them, without a schedule; None when
    settings were only to be printed.
    """
    cli = ProjectCLI(merge(request))
    settle_threads(cli.config_tree)
    if request.print_config:
        print(config_text(cli.config_tree), end="")
        return None
    check_devices(cli.config_tree["trainer"])
    assemble(cli, request, Start())
    cli.model.make_schedule = None
    return cli


def train(cli: ProjectCLI, callback: Callback, steps: int = -1) -> None:
    """Train so many optimizer steps at a constant rate, on one device and without validation,
    watched by a callback.

    Of the callbacks of the config only those that freeze parts of the network remain: the others
    watch validations.
    """
    own = cli.trainer_arguments.get("callbacks") or []
    freezing = [
        one for one in (own if isinstance(own, list) else [own]) if isinstance(one, BaseFinetuning)
    ]
    kept = {key: value for key, value in cli.trainer_arguments.items() if key not in OWN_PACE}
    pace: dict[str, Any] = {
        "max_epochs": -1,
        "max_steps": steps,
        "devices": 1,
        "limit_val_batches": 0,
        "num_sanity_val_steps": 0,
    }
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = build_trainer(
        {**kept, **pace, **quiet}, [ExactResume(None, NEVER, None), *freezing, callback]
    )
    cli.model.train()  # as a training before has left it
    trainer.fit(cli.model, datamodule=cli.datamodule)


def number_above(request: Request, option: str, default: float, least: float) -> float:
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


def picture_path(request: Request, default: str) -> Path:
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
