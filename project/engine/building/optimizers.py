"""Optimizers: torch's own, fused into one kernel where that is possible, over groups of parameters
chosen by pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import UserError, clip
from .groups import GroupRule, OptimizerFactory, take


def build_optimizer(
    factory: OptimizerFactory,
    net: nn.Module,
    rules: Sequence[GroupRule] = (),
    fused_allowed: bool = True,
) -> Optimizer:
    """The optimizer over the parameters that are trained; each group is named after its rule, the
    others `rest`.

    Raises:
        UserError: a rule takes nothing, everything is frozen, or an optimizer refuses its arguments
            or parameters.
    """
    parameters = {
        name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad
    }
    taken = take(net, rules)
    claimed = {name for names in taken for name in names}
    groups: dict[OptimizerFactory, list[dict[str, Any]]] = {factory: []}
    for rule, names in zip(rules, taken, strict=True):
        own = {
            key: value
            for key in ("lr", "weight_decay")
            if (value := getattr(rule, key)) is not None
        }
        trained = [parameters[name] for name in names if name in parameters]
        if trained and not rule.freeze:
            groups.setdefault(rule.optimizer or factory, []).append(
                {"params": trained, "name": rule.match, **own}
            )
    rest = [parameter for name, parameter in parameters.items() if name not in claimed]
    if rest:
        groups[factory].append({"params": rest, **({"name": "rest"} if rules else {})})
    built = [_build(make, members, fused_allowed) for make, members in groups.items() if members]
    if sparse_parameters(net) or any(
        isinstance(optimizer, torch.optim.SparseAdam) for optimizer in built
    ):
        _check_gradients(groups, net)
    return built[0] if len(built) == 1 else Combined(built)


def _build(
    factory: Callable[..., Optimizer], groups: list[dict[str, Any]], fused_allowed: bool
) -> Optimizer:
    """One optimizer; `fused` left open becomes true where torch has such a kernel: for LeNet the
    step then costs half.
    """

    def made(**more: Any) -> Optimizer:
        return factory(
            [dict(group) for group in groups], **more
        )  # an optimizer writes its defaults into its groups

    try:
        optimizer = made()
    except (ValueError, TypeError) as error:
        raise UserError(str(error), key="model.optimizer") from error
    for name, value in optimizer.defaults.items():
        if name in ("lr", "weight_decay") and not isinstance(value, int | float):
            raise UserError(f"`model.optimizer.{name}` {clip(value)}: expected a number")
    if isinstance(optimizer, torch.optim.LBFGS):
        for group in groups:
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(_lay_flat)
    if (
        fused_allowed
        and optimizer.defaults.get("fused", False) is None
        and not optimizer.defaults.get("foreach")
    ):
        try:
            return made(fused=True)
        except (RuntimeError, TypeError):  # this device or these arguments have no fused kernel
            return optimizer
    return optimizer


def _lay_flat(parameter: Tensor) -> None:
    """The gradient in one piece, as LBFGS takes it; that of a convolution lies with its channels
    last.
    """
    if parameter.grad is not None:
        parameter.grad = parameter.grad.contiguous()


def sparse_parameters(net: nn.Module) -> set[Tensor]:
    """The parameters whose gradients are sparse: those of embeddings that say so."""
    return {
        layer.weight
        for layer in net.modules()
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and layer.sparse
    }


def _check_gradients(
    groups: Mapping[OptimizerFactory, list[dict[str, Any]]], net: nn.Module
) -> None:
    """Try each optimizer on a small gradient of each kind it is going to meet: few take sparse
    ones, SparseAdam no others.

    Raises:
        UserError: an optimizer does not take the gradients of its parameters.
    """
    sparse, names = (
        sparse_parameters(net),
        {parameter: name for name, parameter in net.named_parameters()},
    )
    for factory, group in (
        (factory, group) for factory, members in groups.items() for group in members
    ):
        for kind in {parameter in sparse for parameter in group["params"]}:
            trial = nn.Parameter(torch.zeros(2, 1))
            trial.grad = torch.ones(2, 1).to_sparse(1) if kind else torch.ones(2, 1)
            optimizer = factory([group | {"params": [trial]}])
            try:
                optimizer.step(lambda: 0.0)
            except RuntimeError as error:
                name = next(
                    names[parameter]
                    for parameter in group["params"]
                    if (parameter in sparse) == kind
                )
                gradient = f"the {'sparse' if kind else 'dense'} gradient of {name}"
                raise UserError(
                    f"`model.optimizer` {type(optimizer).__name__}: it does not suit {gradient} "
                    f"({clip(error, 80)}); "
                    "`model.groups` gives embeddings and the rest an optimizer each"
                ) from error


class Combined(Optimizer):
    """Several optimizers over different parameters as one: they step together, and one schedule
    moves all their rates.

    Raises:
        UserError: one of them is LBFGS, which steps by evaluating the loss of the whole network
            again and again.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        if any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in optimizers):
            raise UserError(
                "`model.groups`: LBFGS stands beside no other optimizer; it trains everything "
                "that is not frozen"
            )
        self.optimizers = list(optimizers)
        super().__init__(
            [group for optimizer in optimizers for group in optimizer.param_groups], {}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        # Loading makes new group dictionaries; the schedule must move those that are stepped.
        self.param_groups = [
            group for optimizer in self.optimizers for group in optimizer.param_groups
        ]
