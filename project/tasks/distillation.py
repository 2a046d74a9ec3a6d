"""Distillation: a small network taught by the soft outputs of a trained one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval, PositiveFloat
from torch import Tensor, nn

from project.engine import (
    Batch,
    DataSpec,
    NetworkFactory,
    Task,
    UserError,
    as_tuple,
    loss_spec,
    losses_for,
    short_name,
)
from project.networks.mlp import MLP
from project.tasks.classification import Classification


class Distillation(Classification):
    """Classes, learnt from the truth and from how a trained network, the teacher, spreads its
    answer over all classes.

    In training the loss is `(1 - share) loss(student, truth) + share T^2 loss(student / T,
    softmax(teacher / T))`, where T^2 keeps the gradients of the second part as large as those of
    the first. Validation and test compare with the truth alone, and need no teacher. Source:
    Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015.

    Args:
        teacher: The run folder or checkpoint of a network trained on the same data and splits.
        net: The network to train.
        loss: Compares logits with shares of classes: KLDiv or CrossEntropy.
        temperature: T; the higher, the more the teacher tells of the classes it rejects.
        share: How much of the loss the teacher has.
    """

    def __init__(
        self,
        teacher: str,
        net: NetworkFactory = MLP,
        loss: nn.Module = nn.KLDivLoss(reduction="batchmean"),
        temperature: PositiveFloat = 4.0,
        share: ClosedUnitInterval = 0.9,
        **training: Any,
    ) -> None:
        super().__init__(net, loss, **training)
        self.teacher, self.temperature, self.share = teacher, temperature, share
        self.teacher_net: list[
            nn.Module
        ] = []  # in a list, so that its weights are no part of this task's
        self.teacher_digest = ""

    def adapt(self, spec: DataSpec) -> DataSpec:
        spec = super().adapt(spec)
        if spec.target != "class" or "shares" not in loss_spec(self.loss).kinds:
            raise UserError(
                "Distillation needs one of several classes and a loss for shares of them, not "
                f"{short_name(self.loss)} "
                f"for a target of kind {spec.target!r}: use {losses_for('shares')}"
            )
        return spec

    def load_dependencies(self, load: Callable[[str], Task]) -> None:
        teacher = load(self.teacher)
        if self.spec is not None and (
            teacher.spec != self.spec or teacher.preprocessing != self.preprocessing
        ):
            raise UserError(
                f"`model.teacher` {self.teacher}: it was trained on other data, other classes or "
                "another split than this run "
                "will be, and may know the validation data; train it with the same `data` options"
            )
        self.teacher_net = [teacher.net.eval().requires_grad_(False)]
        self.teacher_digest = digest(teacher.net)

    def on_fit_start(self) -> None:
        if not self.teacher_net:
            raise UserError(
                "Distillation has no teacher yet: before the training call "
                "task.load_dependencies(project.load)"
            )
        self.teacher_net[0].to(self.device)

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        loss, logits, truth = super().step(batch)
        if not self.training:
            return loss, logits, truth
        with torch.no_grad():
            advice = (self.teacher_net[0](*as_tuple(batch.inputs)) / self.temperature).softmax(1)
        answer = loss_spec(self.loss).outputs(logits / self.temperature)
        softened = self.temperature**2 * self.loss(answer, advice)
        return (1 - self.share) * loss + self.share * softened, logits, truth

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["teacher"] = self.teacher_digest

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if checkpoint["teacher"] != self.teacher_digest:
            raise UserError(
                f"`model.teacher` {self.teacher}: its weights are not those that this run began "
                "with"
            )


def digest(module: nn.Module) -> str:
    """A short hash of all weights."""
    hashed = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        flat = tensor.detach().cpu().contiguous().flatten()
        hashed.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        hashed.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return hashed.hexdigest()
