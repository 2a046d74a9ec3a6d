"""A PyTorch Lightning project: data x network x task x training, each chosen by one word."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from . import data, earlier, networks, tasks, training
from .engine import registry

if TYPE_CHECKING:
    from .engine.api import Run as Run
    from .engine.api import fit as fit
    from .engine.cli.evaluation import load as load
    from .engine.cli.evaluation import load_optimizer as load_optimizer

__version__ = "0.2.0"

registry.add(
    networks=networks.NETWORKS,
    data=data.DATA,
    tasks=tasks.TASKS,
    losses=training.LOSSES,
    optimizers=training.OPTIMIZERS,
    schedules=training.SCHEDULES,
    augmentations=data.AUGMENTS,
)
if importlib.util.find_spec(".lessons", __name__):  # the folder may be deleted
    lessons = importlib.import_module(".lessons", __name__)
    registry.add(networks=lessons.NETWORKS, data=lessons.DATA, optimizers=lessons.OPTIMIZERS)
registry.MOVED |= earlier.MOVED
registry.RENAMED |= earlier.RENAMED
registry.DEFAULTS |= {"data": "Digits", "model": "Classification"}
registry.VERSION[:] = [__version__]


PYTHON = {  # name -> where it is; imported when first asked for, so that --help needs no torch
    "Run": ".engine.api",
    "fit": ".engine.api",
    "load": ".engine.cli.evaluation",
    "load_optimizer": ".engine.cli.evaluation",
}


def __getattr__(name: str) -> Any:
    if name in PYTHON:
        return getattr(importlib.import_module(PYTHON[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
