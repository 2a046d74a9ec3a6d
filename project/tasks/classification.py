"""Classification: one class of several, yes or no, or several labels at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy, MultilabelAccuracy

from project.errors import UserError
from project.networks.lenet import LeNet
from project.spec import Batch, DataSpec
from project.tasks.base import TASK_FOR, NetworkFactory, Task
from project.training.losses import losses_for, one_hot, reading, short_name


class Classification(Task):
    """Classes from logits.

    The loss decides how they are read: CrossEntropy, NLL, MultiMargin and KLDiv choose one of several classes;
    BCEWithLogits, BCE and SoftMargin ask one logit for yes or no; data with several labels a sample asks a logit for
    each (BCEWithLogits, BCE, SoftMargin, MultiLabelSoftMargin, MultiLabelMargin).

    Args:
        net: The network, built when the data is known.
        loss: Compares logits with classes.
        class_weights: "balanced" weighs each class in the loss by the inverse of its share in the training split.
    """

    default_monitor = ("val/accuracy", "max")

    def __init__(
        self,
        net: NetworkFactory = LeNet,
        loss: nn.Module = nn.CrossEntropyLoss(),  # noqa: B008 - the command line shows it as the default
        class_weights: Literal["balanced"] | None = None,
        **training: Any,
    ) -> None:
        super().__init__(net, loss, **training)
        self.class_weights = class_weights

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target == "number":
            raise UserError(f"Classification needs classes, the target {', '.join(spec.names)} is a number: --model Regression")
        if spec.target in ("mask", "sequence"):
            raise UserError(f"Classification needs classes, the target is a {spec.target}: --model {TASK_FOR[spec.target]}")
        kinds = reading(self.loss).kinds
        kind = "labels" if spec.target == "labels" else "class" if "class" in kinds else "binary"
        if kind not in kinds:
            kind = "class" if kind == "binary" else kind
            raise UserError(f"--model.loss {short_name(self.loss)} is not for a target of kind {kind!r}: use {losses_for(kind)}")
        if kind == "binary" and spec.outputs != 2:
            raise UserError(
                f"--model.loss {short_name(self.loss)} is for two classes or labels, the data has {spec.outputs} classes: "
                f"use {losses_for('class')}"
            )
        if kind == "binary":
            spec = dataclasses.replace(spec, outputs=1)
        if self.class_weights == "balanced":
            self._balance(spec)
        return spec

    def _balance(self, spec: DataSpec) -> None:
        counts = torch.tensor(spec.counts, dtype=torch.float32).clamp_min(1)
        if isinstance(self.loss, nn.BCEWithLogitsLoss):
            self.loss.pos_weight = counts[:1] / counts[1:] if spec.outputs == 1 else None
        elif hasattr(self.loss, "weight"):
            self.loss.weight = counts.sum() / (len(counts) * counts)
        if getattr(self.loss, "pos_weight", None) is None and getattr(self.loss, "weight", None) is None:
            raise UserError(f"--model.class_weights: {type(self.loss).__name__} takes no class weights here; try CrossEntropy")

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        if spec.target == "labels":
            return {"accuracy": MultilabelAccuracy(spec.outputs, validate_args=False)}
        if spec.outputs == 1:
            return {"accuracy": BinaryAccuracy(validate_args=False)}
        return {"accuracy": MulticlassAccuracy(spec.outputs, average="micro", validate_args=False)}

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        assert self.spec is not None
        logits, targets, read = self(batch.inputs), batch.targets, reading(self.loss)
        mixed = targets.ndim == 2  # labels, or shares of classes in images that were blended
        if self.spec.target == "labels":
            truth = (targets > 0.5).int()
        elif self.spec.outputs == 1:
            logits, targets = logits.squeeze(1), targets[:, 1] if mixed else targets
            truth = (targets > 0.5).long()
        else:
            truth = targets.argmax(1) if mixed else targets
            if mixed and "shares" not in read.kinds:
                raise UserError(f"--data.augment: Mixup and CutMix need --model.loss {losses_for('shares')}")
            if not mixed and read.kinds[0] == "shares":
                targets = one_hot(targets, self.spec.outputs)
        return self.loss(read.answers(logits), read.targets(targets)), logits, truth

    def errors(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each sample; of labels, its mean over them."""
        assert self.spec is not None
        if self.spec.target == "labels":
            return F.binary_cross_entropy_with_logits(predictions, targets.float(), reduction="none").mean(1)
        if self.spec.outputs == 1:
            return F.binary_cross_entropy_with_logits(predictions, targets.float(), reduction="none")
        return F.cross_entropy(predictions, targets, reduction="none")

    def readable(self, predictions: Tensor) -> dict[str, list[Any]]:
        assert self.spec is not None
        names = self.spec.names
        if self.spec.target == "labels":
            on = predictions.sigmoid() > 0.5
            return {"prediction": [" ".join(n for n, yes in zip(names, row, strict=True) if yes) for row in on.tolist()]}
        if self.spec.outputs == 1:
            yes = predictions.sigmoid()
            chances = torch.stack([1 - yes, yes], dim=1)
        else:
            chances = predictions.softmax(1)
        best = chances.max(1)
        return {"prediction": [names[i] for i in best.indices.tolist()], "probability": best.values.tolist()}

    def readable_targets(self, targets: Tensor) -> list[Any]:
        assert self.spec is not None
        names = self.spec.names
        if self.spec.target == "labels":
            return [" ".join(n for n, yes in zip(names, row, strict=True) if yes) for row in targets.tolist()]
        return [names[i] for i in targets.tolist()]
