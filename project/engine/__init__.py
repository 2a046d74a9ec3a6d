"""The engine: what carries data, networks, tasks and training through a run. No need to read it.

What a fork derives from and calls is imported from here, in one line. The life of `fit`, with the
file that does each thing:

    words = command line                                   cli/door.py, cli/arguments.py
    settings = merge(files, words)                         cli/settings.py, cli/classes.py
    fit(settings):                                         cli/fitting.py
        start = folder and checkpoint, if there are        cli/start.py, runs/checkpoints.py
        cli = parse(settings over the checkpoint's)        cli/parser.py (LightningCLI)
        task, data = cli.build()                           bases/task.py, bases/data.py
        data.setup("fit"): load, hold out, preprocess      loading/arrays.py, loading/splits.py
        task.build(data.spec): network, initial weights    building/initialisation.py
        folder = claim(runs/NAME/NNN)                      runs/folder.py
        trainer = make_trainer(callbacks in order)         cli/trainer.py
        trainer.fit(task, data):                           Lightning
            optimizer, schedule = configure_optimizers()   building/optimizers.py, schedules.py
            for epoch in epochs:
                for index in order(seed, epoch):           loading/sampler.py
                    batch = part[index]                    loading/arrays.py
                    batch = data.prepare(batch)            bases/images.py, loading/augmenting.py
                    if a checkpoint is due or asked for:   runs/exact.py: the one save point
                        save                               runs/saved.py: who saves what
                    seed(seed, epoch, batch)               randomness.py
                    loss = task.training_step(batch)       tasks/, networks/, training/: yours
                    loss is finite, or the run ends        runs/exact.py
                    backward, optimizer.step, schedule     Lightning, torch
                    every n steps: a row of metrics        bases/metrics.py, runs/records.py
                validate: metrics, best.ckpt               runs/checkpoints.py, runs/predictions.py
                a line on the screen, a row of epochs.csv  runs/records.py, runs/progress.py
        results.json, report.html                          cli/fitting.py, reports/page.py

docs/architecture.md walks one batch, one setting and one kill through it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bases.data import DataModule as DataModule
    from .bases.images import ImageData as ImageData
    from .bases.network import Network as Network
    from .bases.network import image_shape as image_shape
    from .bases.task import NetworkFactory as NetworkFactory
    from .bases.task import Task as Task
    from .building.expression import Expression as Expression
    from .building.losses import LossSpec as LossSpec
    from .building.losses import check_weights as check_weights
    from .building.losses import loss_spec as loss_spec
    from .building.losses import losses_for as losses_for
    from .building.losses import short_name as short_name
    from .building.schedules import steps_every as steps_every
    from .errors import UserError as UserError
    from .errors import clip as clip
    from .errors import needed as needed
    from .errors import suggest as suggest
    from .loading import pixels as pixels
    from .loading.arrays import Arrays as Arrays
    from .loading.arrays import ItemDataset as ItemDataset
    from .loading.augmenting import Augment as Augment
    from .loading.augmenting import BatchGenerator as BatchGenerator
    from .loading.augmenting import Mixing as Mixing
    from .loading.augmenting import augmented as augmented
    from .randomness import generator as generator
    from .randomness import reseed as reseed
    from .randomness import run_seed as run_seed
    from .spec import IGNORED as IGNORED
    from .spec import Batch as Batch
    from .spec import DataSpec as DataSpec
    from .spec import Inputs as Inputs
    from .spec import as_tuple as as_tuple
    from .targets import suited_task as suited_task

NAMES = {  # module -> the names a fork takes from it; nothing is imported before it is asked for
    "bases.data": ("DataModule",),
    "bases.images": ("ImageData",),
    "bases.network": ("Network", "image_shape"),
    "bases.task": ("NetworkFactory", "Task"),
    "building.expression": ("Expression",),
    "building.losses": ("LossSpec", "check_weights", "loss_spec", "losses_for", "short_name"),
    "building.schedules": ("steps_every",),
    "errors": ("UserError", "clip", "needed", "suggest"),
    "loading.arrays": ("Arrays", "ItemDataset"),
    "loading.augmenting": ("Augment", "BatchGenerator", "Mixing", "augmented"),
    "randomness": ("generator", "reseed", "run_seed"),
    "spec": ("IGNORED", "Batch", "DataSpec", "Inputs", "as_tuple"),
    "targets": ("suited_task",),
}


def __getattr__(name: str) -> Any:
    if name == "pixels":  # a module of functions
        return importlib.import_module(".loading.pixels", __name__)
    for module, names in NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
