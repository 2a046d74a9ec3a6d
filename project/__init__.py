"""A PyTorch Lightning project: data x network x task x training, each chosen by one word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from project import data, networks, registry, tasks, training

if TYPE_CHECKING:
    from project.cli.evaluation import load as load
    from project.cli.evaluation import load_optimizer as load_optimizer

__version__ = "0.1.0"

registry.add(
    networks=networks.NETWORKS,
    data=data.DATA,
    tasks=tasks.TASKS,
    losses=training.LOSSES,
    optimizers=training.OPTIMIZERS,
    schedules=training.SCHEDULES,
    augmentations=data.AUGMENTS,
)
registry.DEFAULTS |= {"data": "Digits", "model": "Classification"}
registry.VERSION[:] = [__version__]


def __getattr__(name: str) -> Any:
    """`project.load` and `load_optimizer`, imported when first asked for, so that `import project` stays free of torch."""
    if name in ("load", "load_optimizer"):
        from project.cli import evaluation

        return getattr(evaluation, name)
    raise AttributeError(f"module 'project' has no attribute {name!r}")
