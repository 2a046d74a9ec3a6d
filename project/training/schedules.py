"""Schedules: torch's own, with their length filled in from the run; warm-up with cosine is ours."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, SequentialLR

from project.engine import Expression, UserError, steps_every


class Cosine(LambdaLR):
    """Linear warm-up, then half a cosine down to `min_lr` (Loshchilov, Hutter: SGDR, 2017, without
    restarts).

    Args:
        optimizer: Its rates are the peak.
        total_steps: Length; null means the run's.
        warmup: Steps of the warm-up, or, below 1, its share of the length.
        min_lr: The last rate as a share of the peak.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int | None = None,
        warmup: float = 0.0,
        min_lr: float = 0.0,
    ) -> None:
        if total_steps is None:
            raise ValueError("Cosine needs total_steps when no run fills it in")
        self.total_steps = total_steps
        warm = round(warmup * total_steps) if warmup < 1 else int(warmup)

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / (warm + 1)
            done = min(1.0, (step - warm) / max(1, total_steps - warm))
            return min_lr + (1 - min_lr) * self.fallen(done)

        super().__init__(optimizer, factor)

    @staticmethod
    def fallen(done: float) -> float:
        """What is left of the peak, 1 to 0, where a share of the way down is done."""
        return 0.5 * (1 + math.cos(math.pi * done))


class LinearDecay(Cosine):
    """Linear warm-up, then a straight line down to `min_lr`, with the arguments of Cosine."""

    @staticmethod
    def fallen(done: float) -> float:
        return 1 - done


class Lambda(LambdaLR):
    """The peak rate times a factor, an arithmetic expression of `epoch` or of `step`, both from 0:
    `0.95 ** epoch`.

    Args:
        optimizer: Its rates are the peak.
        factor: The expression. One of `step` moves after every step, one of `epoch` after every
            epoch.
    """

    def __init__(self, optimizer: Optimizer, factor: str) -> None:
        expression = Expression(factor, ("epoch", "step"), "`model.schedule.factor`")
        if len(expression.names) > 1:
            raise UserError(
                f"`model.schedule.factor`: {factor!r} uses both epoch and step, a schedule moves "
                "with one of them"
            )
        self.interval = next(iter(expression.names), "epoch")
        super().__init__(optimizer, lambda count: expression({self.interval: count}))


class Chain(SequentialLR):
    """Schedules one after the other; each begins at its milestone with a count of its own.

    Args:
        optimizer: Whose rates are moved.
        schedules: The schedules in order.
        milestones: At which step or epoch each of them but the first begins.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedules: list[Callable[[Optimizer], LRScheduler]],
        milestones: list[int],
    ) -> None:
        if len(milestones) != len(schedules) - 1 or sorted(milestones) != milestones:
            wanted = len(schedules) - 1
            raise UserError(
                f"`model.schedule.milestones`: this chain needs {wanted} rising milestones, got "
                f"{milestones}"
            )
        built = [factory(optimizer) for factory in schedules]
        intervals = {steps_every(schedule) for schedule in built}
        if len(intervals) > 1:
            raise UserError(
                "`model.schedule.schedules`: some move by steps and some by epochs; a chain "
                "moves all alike"
            )
        self.interval = intervals.pop()
        super().__init__(optimizer, built, milestones)
