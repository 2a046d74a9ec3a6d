"""What no task can use of a loss."""

from __future__ import annotations

from torch import nn

from ..errors import UserError, clip


def check_options(loss: nn.Module) -> None:
    """Refuse what no task can use.

    Raises:
        UserError: names the option.
    """
    known = ["mean", "sum", *(["batchmean"] if isinstance(loss, nn.KLDivLoss) else [])]
    given = getattr(loss, "reduction", "mean")
    if given not in known:
        raise UserError(
            f"`model.loss.reduction` {clip(given)}: a batch has one loss, so it is one of "
            f"{', '.join(known)}"
        )
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if not 0 <= smoothing <= 1:
        raise UserError(f"`model.loss.label_smoothing` {smoothing}: expected a number from 0 to 1")
    if getattr(loss, "log_target", False):
        raise UserError(
            "`model.loss.log_target`: targets are shares of classes, not their logarithms; leave "
            "it false"
        )
