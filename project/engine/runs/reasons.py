"""Why a run answers as it does on a loaded split: heat of its images, importance of its columns."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..building.explaining import MOST_ROWS, heatmaps, importance
from ..spec import Batch, as_tuple
from ..targets import TARGETS

FEWEST = 20  # rows that tell how much a column of a table counts
AT_ONCE = 512  # rows: what a wide network makes of more leaves the processor's cache


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
        total = 0.0
        for part, truth in zip(rows.split(AT_ONCE), batch.targets.split(AT_ONCE), strict=False):
            _, predictions, targets = task.step(
                batch._replace(inputs=part, targets=truth[: len(part)])
            )
            total += float(task.per_sample_loss(predictions, targets).double().sum())
        return total / len(rows)

    with evaluating(task), torch.no_grad():
        (rows,) = as_tuple(batch.inputs)
        found = importance(loss, rows, spec.columns)
    return found if all(math.isfinite(rise) for rises in found.values() for rise in rises) else {}
