"""What a run said of each sample: predictions-<split>.npz, and a few samples with their inputs in
samples.npz.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from ..building.explaining import MOST_ROWS, heatmaps, importance
from ..spec import Batch, as_tuple
from ..targets import TARGETS
from .files import update_json, write_atomic
from .folder import RunFolder

ROWS, BYTES = 100_000, 256 * 2**20  # kept of a split's predictions, whichever is reached first
FEWEST = 20  # rows that tell how much a column of a table counts
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
            wrong = module.predicted_classes(columns["prediction"])
            wrong = worst & False if wrong is None else wrong != columns["target"]
            chosen = worst | wrong if wrong.ndim == 1 else worst
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
        if self.folder is None or not self.kept:
            return
        self._write(trainer, module, "val")
        ids = self.columns()[0]
        if not trainer.is_global_zero:
            return
        if found := importance_of(module, trainer.datamodule, "val", ids):
            update_json(self.folder.results, {"importance": found})

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._write(trainer, module, "test")


@contextlib.contextmanager
def evaluating(task: Any) -> Iterator[None]:
    """The task in eval mode, and as it was afterwards."""
    was = task.training
    task.eval()
    try:
        yield
    finally:
        task.train(was)


def fetched(data: Any, split: str, ids: Tensor, device: torch.device) -> Batch:
    """Samples of a loaded split as the network sees them, not augmented."""
    inputs, targets = data.fetch(split, ids)
    batch = data.transfer_batch_to_device(Batch(inputs, targets, ids, (0, 0)), device, 0)
    prepared: Batch = data.prepared(batch)
    return prepared


def heat_of(task: Any, data: Any, split: str, ids: Tensor, chosen: Tensor) -> dict[str, Tensor]:
    """ "heat" of samples that are images, (n, H, W) uint8, 0 but in the chosen; else nothing."""
    spec = data.spec
    if TARGETS[spec.target].is_of_places or len(spec.inputs) > 1 or len(spec.inputs[0]) != 3:
        return {}
    if not chosen.any():
        return {}
    with evaluating(task):
        heat = heatmaps(task, *as_tuple(fetched(data, split, ids[chosen], task.device).inputs))
    if heat is None:
        return {}
    shown = torch.zeros(len(ids), *heat.shape[1:], dtype=torch.uint8)
    shown[chosen] = (heat * 255).to(torch.uint8).cpu()
    return {"heat": shown}


def importance_of(task: Any, data: Any, split: str, ids: Tensor) -> dict[str, list[float]]:
    """How much worse a table's answers become when each column is shuffled; nothing of other
    data.
    """
    spec = data.spec
    if len(spec.inputs) > 1 or len(spec.columns) != spec.inputs[0][0] or len(ids) < FEWEST:
        return {}
    batch = fetched(data, split, ids[:MOST_ROWS], task.device)

    def loss(rows: Tensor) -> float:
        _, predictions, targets = task.step(
            batch._replace(inputs=rows, targets=batch.targets[: len(rows)])
        )
        return float(task.per_sample_loss(predictions, targets).mean())

    with evaluating(task), torch.no_grad():
        (rows,) = as_tuple(batch.inputs)
        found = importance(loss, rows, spec.columns)
    return found if all(math.isfinite(rise) for rises in found.values() for rise in rises) else {}


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
