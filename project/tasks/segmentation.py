"""Segmentation: a class for each pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from project.engine import (
    IGNORED,
    Batch,
    DataSpec,
    NetworkFactory,
    Task,
    UserError,
    check_weights,
    loss_spec,
    losses_for,
    short_name,
    suited_task,
)
from project.engine.building.overlap import IMAGES, dice_of_each
from project.networks.unet import UNet
from project.training.dice import Dice


class Overlap(Metric):
    """How well masks agree, from the pixels of all images together.

    "accuracy" is the share of pixels that are right. "dice", 2 |A and B| / (|A| + |B|), and "iou",
    |A and B| / |A or B|, are of the second class where there are two, since the first is the
    background; otherwise they are means over the classes that occur.

    Args:
        classes: How many there are.
        kind: What is computed.
    """

    full_state_update = False
    both: Tensor
    predicted: Tensor
    actual: Tensor

    def __init__(self, classes: int, kind: Literal["accuracy", "dice", "iou"]) -> None:
        super().__init__()
        self.classes, self.kind = classes, kind
        for name in ("both", "predicted", "actual"):
            self.add_state(name, torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Class numbers, (B, H, W) both; pixels whose target is IGNORED do not count."""
        known = targets != IGNORED
        predictions, targets = predictions[known].long(), targets[known].long()
        self.both += torch.bincount(targets[predictions == targets], minlength=self.classes)
        self.predicted += torch.bincount(predictions, minlength=self.classes)
        self.actual += torch.bincount(targets, minlength=self.classes)

    def compute(self) -> Tensor:
        if self.kind == "accuracy":
            return self.both.sum() / self.actual.sum()
        both, sizes = self.both, self.predicted + self.actual
        values = 2 * both / sizes if self.kind == "dice" else both / (sizes - both)
        return values[1] if self.classes == 2 else values.nanmean()


class Segmentation(Task):
    """Masks from logits, (B, outputs, H, W).

    The loss sees pixels as samples, without the ignored ones: Dice, and what Classification takes
    for one of several classes (CrossEntropy, NLL, MultiMargin). For two classes Dice,
    BCEWithLogits, BCE and SoftMargin ask one logit.

    Args:
        net: The network, built when the data is known.
        loss: Compares logits with classes.
    """

    default_monitor = ("val/dice", "max")

    def __init__(
        self, net: NetworkFactory = UNet, loss: nn.Module = Dice(), **training: Any
    ) -> None:
        super().__init__(net, loss, **training)

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target != "mask":
            raise UserError(
                f"Segmentation needs masks, the target is of kind {spec.target!r}: `model` "
                f"{suited_task(spec)}"
            )
        kind, name = loss_spec(self.loss).kinds[0], short_name(self.loss)
        if kind not in ("mask", "class", "binary"):
            raise UserError(
                f"`model.loss` {name} is not for masks: use Dice, CrossEntropy or BCEWithLogits"
            )
        if kind == "binary" and spec.outputs != 2:
            raise UserError(
                f"`model.loss` {name} is for two classes, the data has {spec.outputs}: "
                f"use {losses_for('mask')} or {losses_for('class')}"
            )
        if kind != "class" and spec.outputs == 2:
            spec = dataclasses.replace(spec, outputs=1)
        check_weights(self.loss, spec)
        return spec

    def expected_answer(self, spec: DataSpec) -> tuple[int | None, ...]:
        return spec.outputs, *spec.inputs[0][1:]

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        classes = len(spec.names)
        return {
            "dice": Overlap(classes, "dice"),
            "iou": Overlap(classes, "iou"),
            "accuracy": Overlap(classes, "accuracy"),
        }

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        logits, masks, read = self(batch.inputs), batch.targets, loss_spec(self.loss)
        predictions = logits.squeeze(1) > 0 if logits.shape[1] == 1 else logits.argmax(1)
        known = masks != IGNORED
        pixels, targets = logits.movedim(1, -1)[known], masks[known].long()
        if logits.shape[1] == 1:
            pixels = pixels.squeeze(1)
        return (
            self.loss(read.outputs(pixels), read.targets(targets)),
            predictions.to(torch.uint8),
            masks,
        )

    def predicted_classes(self, predictions: Tensor) -> Tensor:
        return predictions.long()

    def per_sample_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """One minus the Dice of each image: of the second class where there are two, else a mean
        over those that occur.
        """
        assert self.spec is not None
        pairs = zip(predictions.split(IMAGES), targets.split(IMAGES), strict=True)
        return torch.cat(
            [1 - dice_of_each(answer, truth, len(self.spec.names)) for answer, truth in pairs]
        )

    def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]:
        return {"prediction": self.target_columns(predictions)}
