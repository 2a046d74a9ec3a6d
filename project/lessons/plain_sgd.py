"""An optimizer written by hand, as an example."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class PlainSGD(Optimizer):
    """Stochastic gradient descent and nothing else: every weight moves by `lr` times its gradient.

    Args:
        params: The parameters, or groups of them with rates of their own.
        lr: Learning rate.
    """

    def __init__(self, params: Iterable, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"] * parameter.grad)
        return loss
