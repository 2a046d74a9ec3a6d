"""Metrics that something looks at: a misspelt one is found before the first epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Checkpoint

from ..errors import UserError, suggest

if TYPE_CHECKING:
    from .task import Task


def check_monitors(task: Task) -> None:
    """Refuse a monitored metric that this run will not report.

    Raises:
        UserError: names who asks for it and the nearest metrics.
    """
    trainer = task.trainer
    for fault in unreported(task, getattr(trainer, "callbacks", []), _validates(trainer)):
        raise UserError(fault)


def unreported(task: Task, callbacks: Iterable[Any], validates: bool = True) -> Iterator[str]:
    """What is monitored by the task or a callback and never reported, in words with a way out."""
    every = task.metric_names()
    asked, names = {"`model.monitor`": task.monitor}, every
    if not validates:
        names = {name for name in every if not name.startswith("val/")}
        asked.clear()  # no best checkpoint is looked for
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor and (asked or not isinstance(callback, Checkpoint)):
            asked[f"{type(callback).__name__}.monitor"] = monitor
    for where, name in asked.items():
        if name not in names:
            fault = "without validation " if name in every else ""
            yield f"{where}: {fault}nothing reports {name!r}; {suggest(name, names, 'there are')}"


def _validates(trainer: Any) -> bool:
    data = getattr(trainer, "datamodule", None)
    return trainer.limit_val_batches != 0 and getattr(data, "has_validation", True)
