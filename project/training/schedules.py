"""Schedules: torch's own, with their length filled in from the run; warm-up with cosine is ours."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR

from project.errors import UserError


class Cosine(LambdaLR):
    """Linear warm-up, then half a cosine down to `min_lr` (Loshchilov, Hutter: SGDR, 2017, without restarts).

    Args:
        optimizer: Its rates are the peak.
        total_steps: Length; null means the run's.
        warmup: Steps of the warm-up, or, below 1, its share of the length.
        min_lr: The last rate as a share of the peak.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int | None = None, warmup: float = 0.0, min_lr: float = 0.0) -> None:
        if total_steps is None:
            raise ValueError("Cosine needs total_steps when no run fills it in")
        self.total_steps = total_steps
        warm = round(warmup * total_steps) if warmup < 1 else int(warmup)

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / (warm + 1)
            done = min(1.0, (step - warm) / max(1, total_steps - warm))
            return min_lr + (1 - min_lr) * 0.5 * (1 + math.cos(math.pi * done))

        super().__init__(optimizer, factor)


def steps_every(schedule: LRScheduler) -> Literal["step", "epoch"]:
    """The interval that suits a schedule: those with a length, and cycles, move after every step."""
    return "step" if hasattr(schedule, "total_steps") or isinstance(schedule, (CyclicLR, OneCycleLR)) else "epoch"


def build_schedule(factory: Callable[..., LRScheduler], optimizer: Optimizer, length: Callable[[], int]) -> LRScheduler:
    """The schedule; an open `total_steps` becomes the length of the run.

    Raises:
        UserError: the schedule refuses its arguments.
    """
    filled = {"total_steps": length()} if _length_is_open(factory) else {}
    try:
        return factory(optimizer, **filled)
    except (ValueError, TypeError) as error:
        raise UserError(f"--model.schedule: {error}") from error


def _length_is_open(factory: Callable[..., LRScheduler]) -> bool:
    given: dict[str, Any] = getattr(factory, "keywords", {})
    if "total_steps" in given:
        return given["total_steps"] is None
    parameters = inspect.signature(getattr(factory, "func", factory)).parameters
    return "total_steps" in parameters and parameters["total_steps"].default is None


def rebuild(schedule: LRScheduler, factory: Callable[..., LRScheduler], length: Callable[[], int]) -> LRScheduler:
    """The schedule of a prolonged run at the position of the old one: built with the new length, then stepped there."""
    optimizer, position = schedule.optimizer, schedule.last_epoch
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]
    renewed = build_schedule(factory, optimizer, length)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*before `optimizer.step()`.*".replace("()", r"\(\)"))
        for _ in range(position):
            renewed.step()
    return renewed
