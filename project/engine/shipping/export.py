"""`export`: a trained run as a file that runs without this package, held to the same answers.

What is exported takes what a person has (pixels 0..255, or a table's encoded columns) and answers
with what the network does: preparation and network are one graph. Whatever is written is compared
with torch on the validation split before it may stay.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from ..errors import UserError, clip, needed
from ..registry import VERSION
from ..runs.checkpoints import locate, read
from ..spec import Batch
from .bench import bench
from .card import card
from .page import page

MOST = 10_000  # validation samples that are compared
TOLERANCE = 1e-4  # of outputs in single precision; small networks keep to a tenth of it
BATCH = 64
PACKAGES = "onnx onnxruntime onnxscript safetensors"


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


# ---------------------------------------------------------------------- the ways

Run = Callable[[np.ndarray], np.ndarray]  # raw inputs to outputs, by what was written


def to_onnx(source: Source, example: Tensor, folder: Path) -> Run:
    """model.onnx, by torch's exporter, with the names of the classes in its metadata."""
    onnx, runtime, _ = (
        needed("onnx", "export", PACKAGES),
        needed("onnxruntime", "export", PACKAGES),
        needed("onnxscript", "export", PACKAGES),
    )
    path = folder / "model.onnx"
    torch.onnx.export(
        source.module,
        (example,),
        path,
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=2**20)},),
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    model = onnx.load(path)
    for key, value in metadata(source).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value, ensure_ascii=False)
    onnx.save(model, path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {"input": inputs})[0]


def to_torch_export(source: Source, example: Tensor, folder: Path) -> Run:
    """model.pt2, a graph that torch.export.load reads without this package."""
    program = torch.export.export(
        source.module,
        (example,),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=2**20)},),
    )
    path = folder / "model.pt2"
    torch.export.save(program, path)
    loaded = torch.export.load(path).module()
    return lambda inputs: loaded(torch.from_numpy(inputs)).numpy()


def to_safetensors(source: Source, example: Tensor, folder: Path) -> Run:
    """model.safetensors, the weights alone."""
    tensors = needed("safetensors.torch", "export", PACKAGES)
    weights = {name: value.contiguous() for name, value in source.task.net.state_dict().items()}
    path = folder / "model.safetensors"
    tensors.save_file(weights, path, {k: json.dumps(v) for k, v in metadata(source).items()})
    read = copy.deepcopy(source.module)
    read.net.load_state_dict(tensors.load_file(path))
    return lambda inputs: read(torch.from_numpy(inputs)).numpy()


WAYS: dict[str, Callable[[Source, Tensor, Path], Run]] = {
    "onnx": to_onnx,
    "page": to_onnx,
    "torch_export": to_torch_export,
    "safetensors": to_safetensors,
}


def metadata(source: Source) -> dict[str, Any]:
    """What the file says of itself."""
    spec = source.data.spec
    return {
        "names": list(spec.names),
        "target": spec.target,
        "task": type(source.task).__name__,
        "network": type(source.task.net).__name__,
        "inputs": list(spec.inputs[0]),
        "columns": list(spec.columns),
        "temperature": source.module.temperature,
        "version": VERSION[0],
    }


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


@dataclass(frozen=True)
class Export:
    """What was written: how it compares with torch, and how fast it is where that was asked."""

    parity: Parity
    speed: dict[str, Any]


def export(
    checkpoint: Path,
    way: str,
    output: Path,
    *,
    calibrate: bool = False,
    measure: bool = False,
    runtime: Path | None = None,
) -> Export:
    """Write a trained run into a folder; nothing is left of one whose answers differ.

    Args:
        checkpoint: A run folder or a checkpoint file.
        way: A name of WAYS.
        output: The folder, new or of an earlier export.
        calibrate: Divide the outputs by the temperature that fits the validation split.
        measure: Time it beside torch.
        runtime: Of a page: the folder of ONNX Runtime's package for browsers.

    Raises:
        UserError: it cannot be exported, or its answers differ from torch's.
    """
    source = source_of(checkpoint)
    example = next(iter(source.validation()))[:2]
    if calibrate:
        source.calibrate()
    with tempfile.TemporaryDirectory(prefix="export-") as place:
        folder = Path(place)
        try:
            run = WAYS[way](source, example, folder)
        except UserError:
            raise
        except Exception as error:  # an exporter raises whatever its graph leads it to
            name = type(source.task.net).__name__
            raise UserError(f"--to {way}: {name} cannot be exported: {clip(error, 300)}") from error
        parity = compared(source, run)
        if not parity.holds:
            raise UserError(
                f"--to {way}: {parity.samples - parity.equal} of {parity.samples} predictions "
                f"differ from torch's, outputs by up to {parity.largest:.2g}; nothing is written"
            )
        about = metadata(source) | {"preprocessing": source.data.preprocessing}
        speed = bench(source, run, folder, way) if measure else {}
        text = json.dumps(about, indent=2, ensure_ascii=False, default=str)
        (folder / "model.json").write_text(text + "\n", encoding="utf-8")
        if way == "page":
            (folder / "page.html").write_text(
                page(folder / "model.onnx", json.loads(text), runtime), encoding="utf-8"
            )
        (folder / "card.md").write_text(card(source, way, parity), encoding="utf-8")
        output.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            shutil.copyfile(path, output / path.name)
    return Export(parity, speed)
