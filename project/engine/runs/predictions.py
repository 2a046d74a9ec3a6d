"""What a run said of each sample: predictions-<split>.npz, and a few samples with their inputs in
samples.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from ..spec import as_tuple
from .files import update_json, write_atomic
from .folder import RunFolder
from .reasons import heat_of, importance_of

ROWS, BYTES = 100_000, 256 * 2**20  # kept of a split's predictions, whichever is reached first
FIRST, WORST, SAMPLE_BYTES = 64, 32, 32 * 2**20  # samples kept with their inputs


class Predictions(Callback):
    """What the last validation, a test or `predict` said of each sample: ids, targets and
    predictions of all processes.

    Args:
        folder: Where predictions-<split>.npz and samples.npz go, bounded; None keeps everything in
            memory for the caller.
    """

    def __init__(self, folder: RunFolder | None) -> None:
        self.folder = folder
        self.most = ROWS if folder else sys.maxsize
        self._start()

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """ids (N,), targets and predictions (N, ...), sorted by id; a collective call when there
        are several processes.
        """
        parts = self.kept
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, parts)
            parts = [part for share in gathered for part in share]
        ids, targets, predictions = (torch.cat(column) for column in zip(*parts, strict=True))
        order = torch.argsort(ids, stable=True)
        return ids[order], targets[order], predictions[order]

    def _start(self) -> None:
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self.count = self.bytes = 0

    def _keep(self, outputs: Any) -> None:
        if (
            not isinstance(outputs, dict)
            or "predictions" not in outputs
            or self.count >= self.most
            or self.bytes >= BYTES
        ):
            return
        ids, targets, predictions = (
            outputs[key].detach().cpu() for key in ("ids", "targets", "predictions")
        )
        predictions = predictions.float() if predictions.is_floating_point() else predictions
        if targets.is_floating_point() and targets.dtype != torch.float64:
            targets = targets.float()  # numpy has no bfloat16
        self.kept.append((ids, targets, predictions))
        self.count += len(ids)
        self.bytes += predictions.nbytes + targets.nbytes

    def _write(self, trainer: Any, module: Any, split: str, why: bool = True) -> None:
        if self.folder is None or not self.kept:
            return
        ids, targets, predictions = self.columns()
        if not trainer.is_global_zero:
            return
        columns = {"id": ids, "target": targets, "prediction": predictions}
        save(self.folder.predictions(split), columns)
        with torch.no_grad():
            errors = module.per_sample_loss(predictions, targets).float()
        data = trainer.datamodule
        row_bytes = sum(
            part[:1].nbytes
            for part in (*as_tuple(data.fetch(split, ids[:1])[0]), predictions, targets)
        )
        positions, worst, even = shown(errors, by_turns(targets), row_bytes)
        inputs = {
            f"input{n or ''}": part
            for n, part in enumerate(as_tuple(data.fetch(split, ids[positions])[0]))
        }
        columns = {name: column[positions] for name, column in columns.items()}
        if why:
            chosen, answers = worst, module.predicted_classes(columns["prediction"])
            if answers is not None and answers.ndim == 1:
                chosen = worst | (answers != columns["target"])
            inputs |= heat_of(module, data, split, columns["id"], chosen)
        save(
            self.folder.samples(split),
            {**columns, **inputs, "error": errors[positions], "worst": worst, "even": even},
        )

    def on_validation_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        self._start()

    def on_test_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        self._start()

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any
    ) -> None:
        self._keep(outputs)

    def on_test_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    def on_predict_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        # In `fit` too, each time: a run that is killed after its last validation has no other.
        if not trainer.sanity_checking:
            self._write(trainer, module, "val", why=trainer.state.fn != TrainerFn.FITTING)

    def on_fit_end(self, trainer: Any, module: L.LightningModule) -> None:
        self._write(trainer, module, "val")
        if self.folder is None or not self.kept or not trainer.is_global_zero:
            return
        ids = torch.cat([ids for ids, *_ in self.kept]).sort().values
        if found := importance_of(module, trainer.datamodule, "val", ids):
            update_json(self.folder.results, {"importance": found})

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._write(trainer, module, "test")


def save(path: Path, columns: dict[str, Tensor]) -> None:
    """Tensors by name as a .npz, as they are: compressing takes half of what surrounds a test of
    10,000 small images.
    """
    arrays: dict[str, Any] = {name: value.numpy() for name, value in columns.items()}
    write_atomic(path, lambda file: np.savez(file, **arrays))


def by_turns(targets: Tensor) -> Tensor:
    """The order of samples in which the classes take turns, or as they are where there are none:
    targets (N, ...) to positions (N,).

    Data often lie sorted by class, so that the first samples would be of one.
    """
    places = torch.arange(len(targets))
    if targets.ndim != 1 or targets.is_floating_point():
        return places
    by_class = targets.long().argsort(stable=True)
    counts = targets.long().unique(return_counts=True)[1]
    begins = (counts.cumsum(0) - counts).repeat_interleave(counts)
    turn = places - begins  # of each sample within its class
    return by_class[turn.argsort(stable=True)]


def shown(errors: Tensor, order: Tensor, row_bytes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which samples are kept with their inputs: the first of an order and the worst, as many as the
    space allows.

    errors: (N,) float32, NaN where nothing tells; order: (N,) positions.
    Returns their positions in ascending order, and of each whether it is among the worst, and
    among the first of the order.
    """
    share = min(1.0, SAMPLE_BYTES / max(1, row_bytes) / (FIRST + WORST))
    known = errors.isfinite().nonzero().squeeze(1)
    worst = known[errors[known].argsort(descending=True, stable=True)][: max(1, int(WORST * share))]
    first = order[: max(1, int(FIRST * share))]
    positions = torch.cat([first, worst]).unique()
    return positions, torch.isin(positions, worst), torch.isin(positions, first)
