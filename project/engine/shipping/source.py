"""What is exported: preparation and network as one module, and how a file compares with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bases.data import DataModule
from ..bases.images import ImageData, Normalise
from ..bases.task import Task
from ..building.calibration import temperature
from ..cli.evaluation import config_of, refuse_uncalibrated, restore_task
from ..cli.parser import ProjectCLI
from ..cli.settings import Settings
from ..errors import UserError
from ..runs.checkpoints import locate, read
from ..spec import Batch

MOST = 10_000  # validation samples that are compared
TOLERANCE = 1e-4  # of outputs in single precision; small networks keep to a tenth of it
BATCH = 64
Run = Callable[[np.ndarray], np.ndarray]  # raw inputs to outputs, by what was written


class Shipped(nn.Module):
    """Preparation and network in one: raw inputs (N, ...) to outputs (N, ...)."""

    def __init__(self, task: Task, data: DataModule) -> None:
        super().__init__()
        self.net, self.is_image = task.net, isinstance(data, ImageData)
        self.in_units = task.in_units
        self.size = tuple(data.spec.inputs[0][1:])
        self.temperature = 1.0
        if self.is_image:
            self.normalise = Normalise(data.preprocessing["mean"], data.preprocessing["std"])

    def forward(self, inputs: Tensor) -> Tensor:
        if self.is_image:
            inputs = inputs.to(torch.float32)
            if inputs.shape[2:] != self.size:
                inputs = F.interpolate(inputs, self.size, mode="bilinear", antialias=True)
            inputs = self.normalise(inputs)
        outputs = self.in_units(self.net(inputs))
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
            assert isinstance(inputs, Tensor)
            yield Batch(inputs.contiguous(), targets, rows, (0, 0))

    def validation(self) -> Iterator[Tensor]:
        """Their raw inputs, in batches."""
        for batch in self.batches():
            assert isinstance(batch.inputs, Tensor)
            yield batch.inputs

    def wanted(self, inputs: Tensor) -> Tensor:
        """The outputs for raw inputs, prepared as in training."""
        size = len(inputs)
        batch = Batch(inputs, torch.zeros(size), torch.arange(size), (0, 0))
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
        UserError: it has several inputs, or its data are not there.
    """
    saved = read(locate(checkpoint))
    settings = Settings()
    settings.add(config_of(saved))
    cli = ProjectCLI(settings, seeds=False)
    cli.build()
    task, data = cli.model, cli.datamodule
    data.restore(saved.preprocessing)
    restore_task(task, saved)
    if len(data.spec.inputs) > 1:
        raise UserError(f"{type(data).__name__} has several inputs; one is exported")
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
            wanted, found = source.wanted(inputs), torch.from_numpy(np.array(run(inputs.numpy())))
            if wanted.shape != found.shape:
                return Parity(len(inputs), float("inf"), 0)
            far = (wanted - found).abs().max() / wanted.abs().max().clamp_min(1.0)
            largest = max(largest, float(far))
            several = wanted.ndim > 1 and wanted.shape[1] > 1
            same = (
                wanted.argmax(1) == found.argmax(1)
                if several
                else torch.isclose(wanted, found, rtol=1e-3, atol=1e-4)
            )
            equal += int(same.reshape(len(inputs), -1).all(1).sum())
            samples += len(inputs)
    return Parity(samples, largest, equal)
