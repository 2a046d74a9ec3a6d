"""Classification: one class of several, yes or no, or several labels at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy, MultilabelAccuracy

from project.errors import UserError
from project.networks.lenet import LeNet
from project.spec import Batch, DataSpec
from project.tasks.base import NetworkFactory, Task

# The losses of independent answers: with two classes they mean one logit, otherwise labels.
ONE_BY_ONE = (nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)
OF_NUMBERS = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


class Classification(Task):
    """Classes from logits.

    Of several classes one is chosen (CrossEntropy, NLL, MultiMargin); two classes with BCEWithLogits are one logit;
    data with labels asks for a logit for each label (BCEWithLogits, MultiLabelSoftMargin).

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
        name = type(self.loss).__name__.removesuffix("Loss")
        alone = isinstance(self.loss, ONE_BY_ONE)
        if isinstance(self.loss, OF_NUMBERS):
            raise UserError(f"--model.loss {name} compares numbers, the target is of kind {spec.target!r}: use CrossEntropy")
        if alone and spec.target == "class" and spec.outputs != 2:
            raise UserError(
                f"--model.loss {name} is for two classes or labels, the data has {spec.outputs} classes: use CrossEntropy"
            )
        if not alone and spec.target == "labels":
            raise UserError(f"--model.loss {name} chooses one class, the data has several labels a sample: use BCEWithLogits")
        if alone and spec.target == "class":
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
        logits, targets = self(batch.inputs), batch.targets
        if self.spec.target == "labels":
            return self.loss(logits, targets), logits, (targets > 0.5).int()
        mixed = targets.ndim == 2  # images blended with others have shares of classes
        if self.spec.outputs == 1:
            logits, shares = logits.squeeze(1), targets[:, 1] if mixed else targets
            return self.loss(logits, shares.to(logits.dtype)), logits, (shares > 0.5).long()
        if mixed and not isinstance(self.loss, nn.CrossEntropyLoss):
            raise UserError(f"--data.augment: Mixup and CutMix need --model.loss CrossEntropy, not {type(self.loss).__name__}")
        answers = logits.log_softmax(1) if isinstance(self.loss, nn.NLLLoss) else logits
        classes = targets.argmax(1) if mixed else targets
        return self.loss(answers, targets), logits, classes

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
