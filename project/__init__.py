"""A PyTorch Lightning project: data x network x task x training, each chosen by one word."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from . import data, networks, tasks, training
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
registry.MOVED |= {
    # names of version 0.1.0; a path into the package is the same whatever the package is called
    "Sequence": "Transcription",
    "Embedding": "MetricLearning",
    "project": "",
    "project.data.folders.CSVImages": ".data.listed.CSVImages",
    "project.networks.fused": ".networks.image_and_numbers",
    "project.networks.layers": ".lessons.layers",
    "project.networks.tutorial": ".lessons.tutorial",
    "project.training.plain_sgd": ".lessons.plain_sgd",
    "project.data.sums": ".lessons.sums",
    "project.data.strings": ".lessons.strings",
    "project.data.synthetic": ".lessons.synthetic",
    "project.tasks.sequence.Sequence": ".tasks.transcription.Transcription",
    "project.tasks.embedding.Embedding": ".tasks.metric_learning.MetricLearning",
    "project.runs.averaging": ".engine.runs.averaging",
}
_READ: dict[str, dict[str, Any]] = {
    "separator": {"read.sep": None},
    "header": {"read.header": None},
    "comment": {"read.comment": None},
    "encoding": {"read.encoding": None},
    "missing": {"read.na_values": None, "read.keep_default_na": False},
}
registry.RENAMED |= {".data.table.CSVTable": _READ, ".data.folders.FileImages": _READ}
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
