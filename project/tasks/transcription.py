"""Sequences: several characters in their order, without their places, by connectionist temporal
classification (CTC).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from project.engine import (
    Batch,
    DataSpec,
    NetworkFactory,
    Task,
    UserError,
    loss_spec,
    losses_for,
    short_name,
    suited_task,
)
from project.networks.reader import ColumnReader

NOTHING = -1  # fills sequences up to a common length


def decode(outputs: Tensor, blank: int) -> Tensor:
    """The best class of each column, repetitions and then blanks left out: (B, T, C) to (B, T)
    int64, filled with -1.

    Graves et al.: Connectionist Temporal Classification, 2006, "best path decoding". Classes are
    numbered without the blank.
    """
    best = outputs.argmax(2)
    before = F.pad(best[:, :-1], (1, 0), value=NOTHING)
    kept = (best != blank) & (best != before)
    order = torch.argsort(kept.to(torch.int8), dim=1, descending=True, stable=True)
    classes = best - (best > blank).long()
    return torch.where(kept.gather(1, order), classes.gather(1, order), NOTHING)


def edit_distances(first: Tensor, second: Tensor) -> Tensor:
    """Characters to insert, delete or replace between pairs: (B, M) and (B, N), filled with -1, to
    (B,) int64.

    Levenshtein's table, a row for each character of `first`, over the whole batch at once.
    """
    size, width = second.shape
    places = torch.arange(width + 1, device=second.device)
    row = places.expand(size, -1)
    rows = [row]
    for number in range(first.shape[1]):
        replaced = row[:, :-1] + (second != first[:, number : number + 1]).long()
        row = torch.cat([row[:, :1] + 1, torch.minimum(row[:, 1:] + 1, replaced)], dim=1)
        row = (row - places).cummin(
            1
        ).values + places  # insertions: one more for each place to the right
        rows.append(row)
    lengths = (first != NOTHING).sum(1), (second != NOTHING).sum(1)
    return torch.stack(rows)[lengths[0], torch.arange(size, device=second.device), lengths[1]]


class Characters(Metric):
    """One minus the edit distance over the length of the truth, both summed over all samples; below
    0 if much is invented.
    """

    full_state_update = False
    edits: Tensor
    length: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("edits", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("length", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """(B, T) and (B, L) class numbers filled with -1."""
        self.edits += edit_distances(targets, predictions.long()).sum()
        self.length += (targets != NOTHING).sum()

    def compute(self) -> Tensor:
        return 1 - self.edits / self.length


class WholeStrings(Metric):
    """Share of the samples that are right from the first to the last character."""

    full_state_update = False
    right: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """(B, T) and (B, L) class numbers filled with -1."""
        width = max(predictions.shape[1], targets.shape[1])
        answer, truth = (
            F.pad(part.long(), (0, width - part.shape[1]), value=NOTHING)
            for part in (predictions, targets)
        )
        self.right += (answer == truth).all(1).sum()
        self.samples += len(targets)

    def compute(self) -> Tensor:
        return self.right / self.samples


class Transcription(Task):
    """Characters from a network that answers for each column with a class or "nothing here", the
    blank: (B, T, outputs).

    Args:
        net: The network, built when the data is known.
        loss: CTC; its `blank` is the place of the blank among the outputs.
    """

    answers_targets = False
    default_monitor = ("val/characters", "max")

    def __init__(
        self, net: NetworkFactory = ColumnReader, loss: nn.Module = nn.CTCLoss(), **training: Any
    ) -> None:
        super().__init__(net, loss, **training)

    def adapt(self, spec: DataSpec) -> DataSpec:
        if spec.target != "sequence":
            raise UserError(
                f"Transcription needs sequences, the target is of kind {spec.target!r}: `model` "
                f"{suited_task(spec)}"
            )
        if "sequence" not in loss_spec(self.loss).kinds:
            raise UserError(
                f"`model.loss` {short_name(self.loss)} is not for sequences: use "
                f"{losses_for('sequence')}"
            )
        outputs = spec.outputs + 1
        if not 0 <= self.blank < outputs:
            raise UserError(
                f"`model.loss.blank` {self.blank}: expected 0 to {outputs - 1}, a place among "
                f"the {outputs} outputs"
            )
        return dataclasses.replace(spec, outputs=outputs)

    @property
    def blank(self) -> int:
        """The place of the blank among the outputs."""
        return int(getattr(self.loss, "blank", 0))

    def expected_answer(self, spec: DataSpec) -> tuple[int | None, ...]:
        return None, spec.outputs

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        return {"characters": Characters(), "strings": WholeStrings()}

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        outputs, targets = self(batch.inputs), batch.targets
        size, columns = outputs.shape[:2]
        if columns < 2 * targets.shape[1] - 1:  # equal neighbours need a blank between them
            raise UserError(
                f"{type(self.net).__name__} answers for {columns} columns, {targets.shape[1]} "
                "characters need "
                f"{2 * targets.shape[1] - 1}: make the images wider"
            )
        places = targets.clamp_min(0)
        loss = self.loss(
            outputs.float().log_softmax(2).transpose(0, 1),
            places + (places >= self.blank).long(),
            torch.full((size,), columns, device=outputs.device),
            (targets != NOTHING).sum(1),
        )
        return loss, decode(outputs, self.blank), targets

    def per_sample_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Characters to insert, delete or replace, over the length of the truth."""
        return edit_distances(targets, predictions.long()) / (targets != NOTHING).sum(1).clamp_min(
            1
        )

    def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]:
        return {"prediction": self.target_columns(predictions)}
