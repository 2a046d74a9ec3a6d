"""What is exported: preparation and network as one module, and how a file compares with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bases.data import DataModule
from ..bases.images import ImageData
from ..bases.task import Task
from ..building.calibration import temperature
from ..cli.evaluation import config_of, refuse_uncalibrated, restore_task
from ..cli.parser import ProjectCLI
from ..cli.settings import Settings
from ..runs.checkpoints import locate, read
from ..spec import Batch, as_tuple

MOST = 10_000  # validation samples that are compared
TOLERANCE = 1e-4  # of outputs in single precision; small networks keep to a tenth of it
BATCH = 64
Run = Callable[[Sequence[np.ndarray]], np.ndarray]  # raw inputs to outputs, by what was written


class Shipped(nn.Module):
    """Preparation and network in one: raw inputs, (N, ...) each, to outputs (N, ...)."""

    def __init__(self, task: Task, data: DataModule) -> None:
        super().__init__()
        self.net = task.net
        self.in_units = task.in_units
        self.size = tuple(data.spec.inputs[0][1:])
        self.temperature = 1.0
        self.is_image = isinstance(data, ImageData)
        self.normalise = nn.ModuleList(data.normalisers() if isinstance(data, ImageData) else ())

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.is_image:
            images, *beside = inputs
            images = images.to(torch.float32)
            if images.shape[2:] != self.size:
                images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
            parts = zip(self.normalise, (images, *beside), strict=True)
            inputs = tuple(part(values) for part, values in parts)
        outputs = self.in_units(self.net(*inputs))
        return outputs if self.temperature == 1 else outputs / self.temperature


@dataclass(frozen=True)
class Source:
    """What is exported: a trained task, its data with the validation split, and their module."""

    task: Task
    data: DataModule
    module: Shipped
    path: Path
    step: int

    def batches(self) -> Iterator[Batch]:
        """Up to MOST validation samples as they are stored."""
        part = self.data.loaded("val" if self.data.has_validation else "train")
        for rows in part.rows[:MOST].split(BATCH):
            inputs, targets = part.fetch(rows)
            parts = tuple(value.contiguous() for value in as_tuple(inputs))
            yield Batch(parts if len(parts) > 1 else parts[0], targets, rows, (0, 0))

    def validation(self) -> Iterator[tuple[Tensor, ...]]:
        """Their raw inputs, in batches."""
        for batch in self.batches():
            yield as_tuple(batch.inputs)

    @property
    def names(self) -> list[str]:
        """What the inputs of a file are called."""
        count = len(self.data.spec.inputs)
        return ["input", *(f"input{number}" for number in range(2, count + 1))]

    def wanted(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The outputs for raw inputs, prepared as in training."""
        size = len(inputs[0])
        given = inputs if len(inputs) > 1 else inputs[0]
        batch = Batch(given, torch.zeros(size), torch.arange(size), (0, 0))
        outputs = self.task.in_units(self.task(self.data.prepared(batch).inputs))
        return outputs / self.module.temperature

    @torch.no_grad()
    def calibrate(self) -> None:
        """Divide the outputs by the temperature that fits the validation split."""
        refuse_uncalibrated(self.task, self.data)
        said = [self.task.step(self.data.prepared(batch))[1:] for batch in self.batches()]
        logits, targets = (torch.cat(parts) for parts in zip(*said, strict=True))
        self.module.temperature = temperature(logits, targets)


def source_of(checkpoint: Path) -> Source:
    """The trained task of a checkpoint with its validation data.

    Raises:
        UserError: its data are not there.
    """
    saved = read(locate(checkpoint))
    settings = Settings()
    settings.add(config_of(saved))
    cli = ProjectCLI(settings, seeds=False)
    cli.build()
    task, data = cli.model, cli.datamodule
    data.restore(saved.preprocessing)
    restore_task(task, saved)
    data.prepare_data()
    data.setup("fit")
    task.eval()
    task.net.to(memory_format=torch.contiguous_format)
    return Source(task, data, Shipped(task, data).eval(), saved.path, saved.step)


# ---------------------------------------------------------------------- the gate


@dataclass(frozen=True)
class Parity:
    """How what was written compares with torch.

    largest: The largest difference of an output, over the largest output where that is above 1.
    equal: Samples whose predictions are the same.
    """

    samples: int
    largest: float
    equal: int

    @property
    def holds(self) -> bool:
        return self.equal == self.samples and self.largest <= TOLERANCE


def compared(source: Source, run: Run) -> Parity:
    """What was written against torch, on the validation split."""
    samples, largest, equal = 0, 0.0, 0
    with torch.no_grad():
        for inputs in source.validation():
            size, wanted = len(inputs[0]), source.wanted(inputs)
            found = torch.from_numpy(np.array(run([part.numpy() for part in inputs])))
            if wanted.shape != found.shape:
                return Parity(size, float("inf"), 0)
            far = (wanted - found).abs().max() / wanted.abs().max().clamp_min(1.0)
            largest = max(largest, float(far))
            several = wanted.ndim > 1 and wanted.shape[1] > 1
            same = (
                wanted.argmax(1) == found.argmax(1)
                if several
                else torch.isclose(wanted, found, rtol=1e-3, atol=1e-4)
            )
            equal += int(same.reshape(size, -1).all(1).sum())
            samples += size
    return Parity(samples, largest, equal)
