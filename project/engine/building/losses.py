"""What a loss compares, and what no task can use of it.

Torch's own stand in one table; a loss of one's own says it by an attribute, `reads`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UserError, clip
from ..registry import TABLES
from ..spec import DataSpec


def as_they_are(values: Tensor) -> Tensor:
    return values


def log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(1)


def floats(targets: Tensor) -> Tensor:
    return targets.to(torch.float32)


def signs(targets: Tensor) -> Tensor:
    """Yes and no as 1 and -1."""
    return targets.to(torch.float32) * 2 - 1


def with_opposites(logits: Tensor) -> Tensor:
    """(B, K) logits and their negatives: (B, 2 K).

    A loss that only orders labels then orders "occurs" above "does not occur" as well, and 0
    becomes the boundary.
    """
    return torch.cat([logits, -logits], dim=1)


def label_lists(targets: Tensor) -> Tensor:
    """(B, K) zeros and ones as (B, 2 K) numbers: of what occurs and, from K on, of what does not;
    filled up with -1.
    """
    targets = torch.cat([targets, 1 - targets], dim=1)
    numbers = torch.arange(targets.shape[1], device=targets.device).expand_as(targets)
    on = targets > 0.5
    order = torch.argsort(on.to(torch.int8), dim=1, descending=True, stable=True)
    return torch.where(on.gather(1, order), numbers.gather(1, order), -1)


@dataclass(frozen=True)
class LossSpec:
    """What a loss compares.

    Args:
        kinds: The outputs it is for: "class" (one of several), "binary" (yes or no by one logit),
            "labels" (several at once), "shares" (probabilities of classes), "number", "count",
            "spread" (a number and its variance), "mask", "sequence".
        outputs: Logits as the loss wants them.
        targets: Targets as the loss wants them.
    """

    kinds: tuple[str, ...]
    outputs: Callable[[Tensor], Tensor] = as_they_are
    targets: Callable[[Tensor], Tensor] = as_they_are


LOSS_SPECS: dict[type[nn.Module], LossSpec] = {
    nn.CrossEntropyLoss: LossSpec(("class", "shares")),
    nn.NLLLoss: LossSpec(("class",), log_softmax),
    nn.MultiMarginLoss: LossSpec(("class",)),
    nn.KLDivLoss: LossSpec(("shares", "class"), log_softmax),
    nn.BCEWithLogitsLoss: LossSpec(("binary", "labels"), targets=floats),
    nn.BCELoss: LossSpec(("binary", "labels"), torch.sigmoid, floats),
    nn.SoftMarginLoss: LossSpec(("binary", "labels"), targets=signs),
    nn.MultiLabelSoftMarginLoss: LossSpec(("labels",), targets=floats),
    nn.MultiLabelMarginLoss: LossSpec(("labels",), with_opposites, label_lists),
    nn.MSELoss: LossSpec(("number",)),
    nn.L1Loss: LossSpec(("number",)),
    nn.SmoothL1Loss: LossSpec(("number",)),
    nn.HuberLoss: LossSpec(("number",)),
    nn.PoissonNLLLoss: LossSpec(("count",)),
    nn.GaussianNLLLoss: LossSpec(("spread",)),
    nn.TripletMarginLoss: LossSpec(("triplets",)),
    nn.CosineEmbeddingLoss: LossSpec(("pairs",)),
    nn.HingeEmbeddingLoss: LossSpec(("pairs",)),
    nn.MarginRankingLoss: LossSpec(("ranks",)),
    nn.CTCLoss: LossSpec(("sequence",)),
}
ANY = LossSpec(("class", "binary", "labels", "shares", "number"))


def loss_spec(loss: nn.Module) -> LossSpec:
    """How a loss reads logits and targets; one that does not say so reads them as they are."""
    return LOSS_SPECS[type(loss)] if type(loss) in LOSS_SPECS else getattr(loss, "reads", ANY)


def short_name(loss: nn.Module) -> str:
    """The name a config gives it."""
    return type(loss).__name__.removesuffix("Loss")


def losses_for(kind: str) -> str:
    """The losses for a kind of answer, as a message names them."""
    known = {loss.__name__.removesuffix("Loss"): spec for loss, spec in LOSS_SPECS.items()}
    for name, (path, _) in TABLES["losses"].items():
        module, _, owner = path.rpartition(".")
        if name not in known:
            known[name] = getattr(getattr(importlib.import_module(module), owner), "reads", ANY)
    return ", ".join(name for name, spec in known.items() if kind in spec.kinds)


def check_weights(loss: nn.Module, spec: DataSpec) -> None:
    """Refuse weights that are not one for each class or label.

    Raises:
        UserError: names the option and the classes.
    """
    for option in ("weight", "pos_weight"):
        given = getattr(loss, option, None)
        if isinstance(given, Tensor) and given.shape != (spec.outputs,):
            have = f"{given.numel()} number" + "s" * (given.numel() != 1)
            names = clip(", ".join(spec.names), 120)
            raise UserError(f"`model.loss.{option}`: {have}, expected {spec.outputs}, for {names}")


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
