"""A step of torch's fused Adam and AdamW on the CPU, without gathering its lists each time.

Torch collects parameters, gradients and moments into lists, sorts them by device and type, and
opens a range for its profiler, in every step: for LeNet longer (82 us) than the update itself (68).
The kernel that is called here is torch's own, with the same values; it has no public name, so
tests/engine/runs/test_lean.py compares it with `step` bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

KERNELS = {torch.optim.Adam: torch._fused_adam_, torch.optim.AdamW: torch._fused_adamw_}


def fits(optimizer: Any) -> bool:
    """Whether an optimizer is one that this can step."""
    if type(optimizer) not in KERNELS:
        return False
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return all(p.device.type == "cpu" and p.dtype == torch.float32 for p in parameters) and all(
        group["fused"]
        and not group["amsgrad"]
        and not group["differentiable"]
        and group["decoupled_weight_decay"] == (type(optimizer) is torch.optim.AdamW)
        and not isinstance(group["lr"], Tensor)
        and not any(isinstance(beta, Tensor) for beta in group["betas"])
        for group in optimizer.param_groups
    )


class FusedStep:
    """The steps of an optimizer during one epoch; its parameters are known to be the same."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.kernel = optimizer, KERNELS[type(optimizer)]
        self.groups: list[tuple[Any, list[Tensor], list[Tensor], list[Tensor], list[Tensor]]] = []
        self.all = [p for group in optimizer.param_groups for p in group["params"]]

    def zero_grad(self) -> None:
        for parameter in self.all:
            parameter.grad = None

    def step(self) -> None:
        """Update the parameters; before their moments are there, torch does it."""
        if not self.groups and not self._gather():
            self.optimizer.step()
            return
        gradients: list[list[Any]] = [[p.grad for p in group[1]] for group in self.groups]
        if any(gradient is None for part in gradients for gradient in part):
            self.optimizer.step()
            return
        for (group, parameters, first, second, steps), found in zip(
            self.groups, gradients, strict=True
        ):
            torch._foreach_add_(steps, 1)
            self.kernel(
                parameters,
                found,
                first,
                second,
                [],
                steps,
                amsgrad=False,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=group["maximize"],
                grad_scale=None,
                found_inf=None,
            )
        self.optimizer._opt_called = True  # as the schedules want to know

    def _gather(self) -> bool:
        """Note the moments of all that is trained; False while some have none."""
        state = self.optimizer.state
        trained = [p for p in self.all if p.requires_grad]
        if not all(p in state and "exp_avg" in state[p] for p in trained):
            return False
        for group in self.optimizer.param_groups:
            parameters = [p for p in group["params"] if p.requires_grad]
            lists = [
                [state[p][key] for p in parameters] for key in ("exp_avg", "exp_avg_sq", "step")
            ]
            if parameters:
                self.groups.append((group, parameters, lists[0], lists[1], lists[2]))
        return True
