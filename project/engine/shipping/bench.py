"""How fast an exported file answers, beside torch: on one core, so that figures compare."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .source import Run, Source

SIZES = (1, 64)  # samples at once
SECONDS, ROUNDS = 0.3, 5  # of each measurement
# What a program does before its first answer; it imports nothing of this package.
FIRST = """
import sys, time
begin = time.perf_counter()
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
kinds = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
given = session.get_inputs()
session.run(None, {one.name: numpy.zeros([1, *one.shape[1:]], kinds[one.type]) for one in given})
assert "torch" not in sys.modules
print(time.perf_counter() - begin)
"""


def bench(source: Source, run: Run, folder: Path, way: str) -> dict[str, Any]:
    """Bytes, milliseconds a sample of the file and of torch, and seconds to the first answer.

    The two are timed in turns; a figure is the median of ROUNDS.
    """
    inputs = next(iter(source.validation()))
    files = {path.name: path.stat().st_size for path in folder.glob("model.*")}
    found: dict[str, Any] = {"bytes": max(files.values())}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for size in SIZES:
            rows = torch.arange(size) % len(inputs[0])
            some = [part[rows] for part in inputs]
            here = _asked(source.module, *some)
            there = _asked(run, [part.numpy() for part in some])
            times = [(_milliseconds(there), _milliseconds(here)) for _ in range(ROUNDS)]
            for name, column in zip((way, "torch"), zip(*times, strict=True), strict=True):
                found[f"{name}, {size} at once"] = statistics.median(column) / size
    finally:
        torch.set_num_threads(threads)
    if way in ("onnx", "page"):
        command = [sys.executable, "-c", FIRST, str(folder / "model.onnx")]
        said = [subprocess.run(command, capture_output=True, check=True) for _ in range(3)]
        found["seconds to the first answer"] = min(float(one.stdout) for one in said)
    return found


def _asked(module: Any, *inputs: Any) -> Callable[[], Any]:
    def answer() -> Any:
        with torch.inference_mode():
            return module(*inputs)

    return answer


def _milliseconds(work: Callable[[], Any]) -> float:
    """The time of one call, from as many as fit into SECONDS."""
    work()
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() < begin + SECONDS or not calls:
        work()
        calls += 1
    return 1000 * (time.perf_counter() - begin) / calls
