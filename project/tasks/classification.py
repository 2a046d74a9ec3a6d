"""Classification: one class of several, yes or no, or several labels at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy, MultilabelAccuracy

from project.engine import (
    Batch,
    DataSpec,
    NetworkFactory,
    Task,
    UserError,
    as_tuple,
    check_weights,
    clip,
    loss_spec,
    losses_for,
    short_name,
    suggest,
    suited_task,
)
from project.networks.lenet import LeNet


class Classification(Task):
    """Classes from logits.

    The loss decides how they are read: CrossEntropy, NLL, MultiMargin and KLDiv choose one of
    several classes; BCEWithLogits, BCE and SoftMargin ask one logit for yes or no; data with
    several labels a sample asks a logit for each (BCEWithLogits, BCE, SoftMargin,
    MultiLabelSoftMargin, MultiLabelMargin).

    Args:
        net: The network, built when the data is known.
        loss: Compares logits with classes.
        positive: Classes that mean yes, all others meaning no: `[1, 3, 5, 7, 9]` asks of a digit
            whether it is odd.
        mirrored: Outside of training, answer with the mean of an image's logits and its mirror
            image's.
        class_weights: "balanced" weighs each class in the loss by the inverse of its share in the
            training split.
    """

    default_monitor = ("val/accuracy", "max")
    wanted_target = "class"
    is_positive: Tensor

    def __init__(
        self,
        net: NetworkFactory = LeNet,
        loss: nn.Module = nn.CrossEntropyLoss(),
        positive: Sequence[str | int] = (),
        class_weights: Literal["balanced"] | None = None,
        mirrored: bool = False,
        **training: Any,
    ) -> None:
        super().__init__(net, loss, **training)
        self.positive, self.class_weights, self.mirrored = positive, class_weights, mirrored

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target not in ("class", "labels"):
            which = f"{', '.join(spec.names)} is" if spec.target == "number" else "is"
            hint = f"`model` {suited_task(spec)}"
            raise UserError(
                f"Classification needs classes, the target {which} a {spec.target}: {hint}"
            )
        if self.mirrored and len(spec.inputs[0]) != 3:
            raise UserError(f"`model.mirrored` needs images, the inputs are of {spec.shape()}")
        if self.positive:
            spec = self._yes_or_no(spec)
        kinds = loss_spec(self.loss).kinds
        kind = "labels" if spec.target == "labels" else "class" if "class" in kinds else "binary"
        if kind not in kinds:
            kind = "class" if kind == "binary" else kind
            raise UserError(
                f"`model.loss` {short_name(self.loss)} is not for a target of kind {kind!r}: use "
                f"{losses_for(kind)}"
            )
        if kind == "binary" and spec.outputs != 2:
            raise UserError(
                f"`model.loss` {short_name(self.loss)} is for two classes or labels, the data "
                f"has {spec.outputs} classes: "
                f"use {losses_for('class')}"
            )
        if kind == "binary":
            spec = dataclasses.replace(spec, outputs=1)
        if self.class_weights == "balanced":
            self._balance(spec)
        check_weights(self.loss, spec)
        return spec

    def _yes_or_no(self, spec: DataSpec) -> DataSpec:
        """Two classes of several: the positive ones and the others."""
        if spec.target != "class":
            raise UserError(
                f"`model.positive` needs classes, the target is of kind {spec.target!r}"
            )
        wanted = [str(name) for name in self.positive]
        if unknown := [name for name in wanted if name not in spec.names]:
            raise UserError(
                f"`model.positive`: unknown class {clip(unknown[0])!r}; "
                f"{suggest(unknown[0], spec.names, 'classes')}"
            )
        chosen = torch.tensor([name in wanted for name in spec.names])
        if chosen.all():
            raise UserError("`model.positive`: no class is left to mean no")
        self.register_buffer("is_positive", chosen, persistent=False)
        yes = sum(count for count, on in zip(spec.counts, chosen.tolist(), strict=True) if on)
        counts, names = (sum(spec.counts) - yes, yes), ("other", "+".join(wanted))
        return dataclasses.replace(spec, outputs=2, names=names, counts=counts)

    def _balance(self, spec: DataSpec) -> None:
        counts = torch.tensor(spec.counts, dtype=torch.float32).clamp_min(1)
        if isinstance(self.loss, nn.BCEWithLogitsLoss):
            self.loss.pos_weight = counts[:1] / counts[1:] if spec.outputs == 1 else None
        elif hasattr(self.loss, "weight"):
            self.loss.weight = counts.sum() / (len(counts) * counts)
        if (
            getattr(self.loss, "pos_weight", None) is None
            and getattr(self.loss, "weight", None) is None
        ):
            raise UserError(
                f"`model.class_weights`: {type(self.loss).__name__} takes no class weights here; "
                "try CrossEntropy"
            )

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        if spec.target == "labels":
            return {"accuracy": MultilabelAccuracy(spec.outputs, validate_args=False)}
        if spec.outputs == 1:
            return {"accuracy": BinaryAccuracy(validate_args=False)}
        return {"accuracy": MulticlassAccuracy(spec.outputs, average="micro", validate_args=False)}

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        assert self.spec is not None
        logits, targets, read = self(batch.inputs), self._asked(batch.targets), loss_spec(self.loss)
        if self.mirrored and not self.training:
            images, *beside = as_tuple(batch.inputs)
            logits = (logits + self((images.flip(3), *beside))) / 2
        mixed = targets.ndim == 2  # labels, or shares of classes in images that were blended
        if self.spec.target == "labels":
            truth = (targets > 0.5).int()
        elif self.spec.outputs == 1:
            logits, targets = logits.squeeze(1), targets[:, 1] if mixed else targets
            truth = (targets > 0.5).long()
        else:
            truth = targets.argmax(1) if mixed else targets
            if mixed and "shares" not in read.kinds:
                raise UserError(
                    f"`data.augment`: Mixup and CutMix need `model.loss` {losses_for('shares')}"
                )
            if not mixed and read.kinds[0] == "shares":
                targets = F.one_hot(targets, self.spec.outputs).to(torch.float32)
        return self.loss(read.outputs(logits), read.targets(targets)), logits, truth

    def predicted_classes(self, predictions: Tensor) -> Tensor | None:
        assert self.spec is not None
        if self.spec.target == "labels":
            return None
        return (predictions > 0).long() if self.spec.outputs == 1 else predictions.argmax(1)

    def per_sample_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each sample; of labels, its mean over them."""
        assert self.spec is not None
        if self.spec.target == "labels":
            return F.binary_cross_entropy_with_logits(
                predictions, targets.float(), reduction="none"
            ).mean(1)
        if self.spec.outputs == 1:
            return F.binary_cross_entropy_with_logits(
                predictions, targets.float(), reduction="none"
            )
        return F.cross_entropy(predictions, targets, reduction="none")

    def _asked(self, targets: Tensor) -> Tensor:
        """The targets as this task sees them: yes and no where only some classes are positive."""
        if not self.positive:
            return targets
        if targets.ndim == 1:
            return self.is_positive[targets].long()
        yes = targets[:, self.is_positive].sum(1)
        return torch.stack([1 - yes, yes], dim=1)

    def chances(self, predictions: Tensor) -> Tensor | None:
        assert self.spec is not None
        if self.spec.target == "labels":
            return None
        if self.spec.outputs > 1:
            return predictions.softmax(1)
        yes = predictions.sigmoid()
        return torch.stack([1 - yes, yes], dim=1)

    def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]:
        assert self.spec is not None
        names = self.spec.names
        if self.spec.target == "labels":
            on = predictions.sigmoid() > 0.5
            return {
                "prediction": [
                    " ".join(n for n, yes in zip(names, row, strict=True) if yes)
                    for row in on.tolist()
                ]
            }
        chances = self.chances(predictions)
        assert chances is not None
        best = chances.max(1)
        return {
            "prediction": [names[i] for i in best.indices.tolist()],
            "probability": best.values.tolist(),
        }
