"""card.md: what an exported run does, how well, and how it is called."""

from __future__ import annotations

import json
from typing import Any

import torch

from ..cli.evaluation import folder_of
from ..registry import VERSION
from ..runs.files import read_json
from .source import Parity, Source

# Called as they stand, beside the file; the image and the row being yours.
CALLS = {
    "onnx": """import json

import numpy as np
import onnxruntime
{reading}
session = onnxruntime.InferenceSession("model.onnx")
about = json.load(open("model.json"))
outputs = session.run(None, {{{named}}})[0]
print({answer})
""",
    "torch_export": """import json

import numpy as np
import torch
{reading}
model = torch.export.load("model.pt2").module()
about = json.load(open("model.json"))
outputs = model(*map(torch.from_numpy, [{given}])).detach().numpy()
print({answer})
""",
    "safetensors": """import json

from safetensors.torch import load_file

weights = load_file("model.safetensors")
about = json.load(open("model.json"))
print(about["network"], sum(tensor.numel() for tensor in weights.values()))
""",
}
IMAGE = """from PIL import Image

image = Image.open("image.png").convert("{mode}").resize(({width}, {height}), Image.BILINEAR)
inputs = np.asarray(image, np.uint8).reshape(1, {height}, {width}, {channels})
inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
"""
ROW = """
inputs = np.zeros((1, {columns}), np.float32)  # the columns of model.json, encoded as it says
"""
BESIDE = "{name} = np.zeros((1, {columns}), np.float32)  # the numbers beside it, as they are\n"


def card(source: Source, way: str, parity: Parity) -> str:
    """The text of card.md."""
    spec, task = source.data.spec, source.task
    lines = [f"- {name}: {value}" for name, value in results(source).items()]
    first, *others = source.names
    code = CALLS["onnx" if way == "page" else way].format(
        reading=reading(source),
        answer=answer(source),
        given=", ".join(["inputs", *others]),
        named=", ".join([f'"{first}": inputs', *(f'"{name}": {name}' for name in others)]),
    )
    what = ", ".join(spec.names[:12]) + (", ..." if len(spec.names) > 12 else "")
    digests = {split: part["digest"] for split, part in source.data.summary().items()}
    return f"""# {type(task.net).__name__}, trained by {type(task).__name__}

Answers inputs of {spec.shape()} with {len(spec.names)} of kind `{spec.target}`: {what}.

## Metrics

{chr(10).join(lines) or "- none were measured"}
- outputs against torch's on {parity.samples:,} samples: within {parity.largest:.2g}; predictions
  equal in {parity.equal:,}

## Call it

```python
{code}```

## Made from

- checkpoint {source.path.name} of step {source.step}
- data: {json.dumps(digests)}
- this package {VERSION[0]}, torch {torch.__version__}
- licence: not stated; say here under which the weights may be used
"""


def results(source: Source) -> dict[str, Any]:
    """The metrics of the run, where they are known, by name."""
    folder = folder_of(source.path)
    if folder is None or not folder.results.is_file():
        return {}
    found = read_json(folder.results)
    parts = (found.get("best") or {}).get("metrics") or {}, found.get("test") or {}
    return {
        name: f"{value:.4f}" for part in parts for name, value in part.items() if "/" in str(name)
    }


def reading(source: Source) -> str:
    """The lines that make inputs."""
    shape = source.data.spec.inputs[0]
    if not source.module.is_image:
        return ROW.format(columns=shape[0])
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    beside = zip(source.names[1:], source.data.spec.inputs[1:], strict=True)
    return IMAGE.format(mode=mode, width=width, height=height, channels=channels) + "".join(
        BESIDE.format(name=name, columns=shape[0]) for name, shape in beside
    )


def answer(source: Source) -> str:
    """What is printed: a name where an output stands for each class."""
    spec = source.task.spec
    named = spec is not None and spec.target == "class" and spec.outputs == len(spec.names)
    return 'about["names"][int(outputs.argmax())]' if named else "outputs"
