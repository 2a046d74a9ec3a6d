"""Groups of parameters chosen by pattern: what each trains with, and what is frozen, for ever or
until an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer

from ..errors import UserError, clip
from .rules import layer_of, match

OptimizerFactory = Callable[[Iterable], Optimizer]

BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class GroupRule:
    """A group of parameters with settings of its own.

    Args:
        match: Regular expression for parameter names (classifier.*) or layer types (BatchNorm2d.*,
            .*bias).
        lr: Learning rate; null means the optimizer's.
        weight_decay: Weight decay; null means the optimizer's.
        optimizer: Another optimizer for this group.
        freeze: Leave these parameters, and the running statistics of their batch norms, as they
            are.
        freeze_until: The same before this epoch, counted from 0; then they are trained.
    """

    match: str
    lr: float | None = None
    weight_decay: float | None = None
    optimizer: OptimizerFactory | None = None
    freeze: bool = False
    freeze_until: int | None = None

    def is_frozen(self, epoch: int | None) -> bool:
        """Whether the group is frozen in an epoch; None asks whether it is so for ever."""
        return self.freeze or (epoch is not None and epoch < (self.freeze_until or 0))


def take(net: nn.Module, rules: Sequence[GroupRule]) -> list[list[str]]:
    """The names of the parameters of each group.

    Raises:
        UserError: a rule takes nothing, contradicts itself, or together they leave nothing to
            train.
    """
    for rule in rules:
        if rule.freeze_until is not None and (rule.freeze or rule.freeze_until < 1):
            raise UserError(
                f"`model.groups` {clip(rule.match)}: freeze_until is the epoch, 1 or later, at "
                "which freezing ends"
            )
    taken = match([rule.match for rule in rules], net, "`model.groups`")
    frozen = {
        name
        for rule, names in zip(rules, taken, strict=True)
        if rule.is_frozen(0)
        for name in names
    }
    if frozen and not any(
        parameter.requires_grad and name not in frozen for name, parameter in net.named_parameters()
    ):
        raise UserError(
            "`model.groups`: every parameter is frozen in the first epoch, there is nothing to "
            "train"
        )
    return taken


def freeze(net: nn.Module, rules: Sequence[GroupRule], epoch: int | None = None) -> None:
    """Freeze and unfreeze parameters as the rules say for an epoch, or, without one, what is frozen
    for ever.

    A batch norm whose weights are frozen normalises by its running statistics and does not move
    them.
    """
    parameters = dict(net.named_parameters())
    for rule, names in zip(rules, take(net, rules), strict=True):
        if not rule.freeze and rule.freeze_until is None:
            continue
        for name in names:
            parameters[name].requires_grad_(not rule.is_frozen(epoch))
            layer = net.get_submodule(layer_of(name))
            if isinstance(layer, BATCH_NORM):
                layer.train(not rule.is_frozen(epoch))
