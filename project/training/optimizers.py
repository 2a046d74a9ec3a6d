"""Optimizers: torch's own, fused into one kernel where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import Optimizer

from project.errors import UserError


def build_optimizer(
    factory: Callable[..., Optimizer], parameters: Iterable[nn.Parameter], fused_allowed: bool = True
) -> Optimizer:
    """The optimizer over the parameters that are trained.

    `fused` left open becomes true where torch has such a kernel: for LeNet the step of Adam then costs less than half.

    Raises:
        UserError: the optimizer refuses its arguments.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        optimizer = factory(trained)
    except (ValueError, TypeError) as error:
        raise UserError(f"--model.optimizer: {error}") from error
    if fused_allowed and optimizer.defaults.get("fused", False) is None and not optimizer.defaults.get("foreach"):
        try:
            return factory(trained, fused=True)
        except (RuntimeError, TypeError):  # this device or these arguments have no fused kernel
            return optimizer
    return optimizer
