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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, clip, needed
from ..registry import VERSION
from .bench import bench
from .card import card
from .page import page
from .source import Parity, Run, Source, compared, source_of

PACKAGES = "onnx onnxruntime onnxscript safetensors"


# ---------------------------------------------------------------------- the ways


Example = tuple[Tensor, ...]  # two raw samples, of each input
BATCH = torch.export.Dim("batch", min=1, max=2**20)


def any_number(example: Example) -> tuple[tuple[dict[int, Any], ...]]:
    """The shapes of the exported inputs: as many samples as one likes."""
    return (tuple({0: BATCH} for _ in example),)


def to_onnx(source: Source, example: Example, folder: Path) -> Run:
    """model.onnx, by torch's exporter, with the names of the classes in its metadata."""
    onnx, runtime, _ = (
        needed("onnx", "export", PACKAGES),
        needed("onnxruntime", "export", PACKAGES),
        needed("onnxscript", "export", PACKAGES),
    )
    path = folder / "model.onnx"
    torch.onnx.export(
        source.module,
        example,
        path,
        input_names=source.names,
        output_names=["output"],
        dynamic_shapes=any_number(example),
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
    return lambda inputs: session.run(None, dict(zip(source.names, inputs, strict=True)))[0]


def to_torch_export(source: Source, example: Example, folder: Path) -> Run:
    """model.pt2, a graph that torch.export.load reads without this package."""
    program = torch.export.export(source.module, example, dynamic_shapes=any_number(example))
    path = folder / "model.pt2"
    torch.export.save(program, path)
    loaded = torch.export.load(path).module()
    return lambda inputs: loaded(*map(torch.from_numpy, inputs)).numpy()


def to_safetensors(source: Source, example: Example, folder: Path) -> Run:
    """model.safetensors, the weights alone."""
    tensors = needed("safetensors.torch", "export", PACKAGES)
    weights = {name: value.contiguous() for name, value in source.task.net.state_dict().items()}
    path = folder / "model.safetensors"
    tensors.save_file(weights, path, {k: json.dumps(v) for k, v in metadata(source).items()})
    read = copy.deepcopy(source.module)
    read.net.load_state_dict(tensors.load_file(path))
    return lambda inputs: read(*map(torch.from_numpy, inputs)).numpy()


WAYS: dict[str, Callable[[Source, Example, Path], Run]] = {
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
        "beside": [list(shape) for shape in spec.inputs[1:]],
        "columns": list(spec.columns),
        "temperature": source.module.temperature,
        "version": VERSION[0],
    }


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
    example = tuple(part[:2] for part in next(iter(source.validation())))
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
