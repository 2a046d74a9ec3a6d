"""The engine: what carries data, networks, tasks and training through a run. No need to read it.

What a fork derives from and calls is imported from here, in one line.
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
    from .building.schedules import steps_every as steps_every
    from .errors import UserError as UserError
    from .errors import clip as clip
    from .errors import suggest as suggest
    from .loading.arrays import Arrays as Arrays
    from .loading.arrays import ItemDataset as ItemDataset
    from .loading.augmenting import Augment as Augment
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
    "building.schedules": ("steps_every",),
    "errors": ("UserError", "clip", "suggest"),
    "loading.arrays": ("Arrays", "ItemDataset"),
    "loading.augmenting": ("Augment", "Mixing", "augmented"),
    "randomness": ("generator", "reseed", "run_seed"),
    "spec": ("IGNORED", "Batch", "DataSpec", "Inputs", "as_tuple"),
    "targets": ("suited_task",),
}


def __getattr__(name: str) -> Any:
    for module, names in NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
