"""Schedules built for a run: with its length, stepped as suits them, and rebuilt when it is
prolonged.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from ..errors import UserError


def steps_every(schedule: LRScheduler) -> Literal["step", "epoch"]:
    """The interval that suits a schedule: those with a length, and cycles, move after every
    step.
    """
    if (own := getattr(schedule, "interval", None)) is not None:
        return own
    return (
        "step"
        if hasattr(schedule, "total_steps") or isinstance(schedule, (CyclicLR, OneCycleLR))
        else "epoch"
    )


def build_schedule(
    factory: Callable[..., LRScheduler], optimizer: Optimizer, length: Callable[[], int]
) -> LRScheduler:
    """The schedule; an open `total_steps` becomes the length of the run.

    Raises:
        UserError: the schedule refuses its arguments.
    """
    filled = {"total_steps": length()} if length_is_open(factory) else {}
    try:
        return factory(optimizer, **filled)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise UserError(str(error), key="model.schedule") from error


def length_is_open(factory: Callable[..., LRScheduler]) -> bool:
    """Whether a schedule has a length that nobody has set."""
    given: dict[str, Any] = getattr(factory, "keywords", {})
    if "total_steps" in given:
        return given["total_steps"] is None
    parameters = inspect.signature(getattr(factory, "func", factory)).parameters
    return "total_steps" in parameters and parameters["total_steps"].default is None


def rebuild(
    schedule: LRScheduler, factory: Callable[..., LRScheduler], length: Callable[[], int]
) -> LRScheduler:
    """The schedule of a prolonged run at the position of the old one: built with the new length,
    then stepped there.
    """
    optimizer, position = schedule.optimizer, schedule.last_epoch
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]
    renewed = build_schedule(factory, optimizer, length)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*before `optimizer.step()`.*".replace("()", r"\(\)")
        )
        for _ in range(position):
            renewed.step()
    return renewed
